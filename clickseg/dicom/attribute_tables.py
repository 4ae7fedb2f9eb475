"""Types (PS3.5, 7.4) of the attributes of patient and study, and of the items of their sequences (PS3.3, C.7.1, C.7.2).

Each table contains the keywords of each type, separated by spaces.
"""

from __future__ import annotations

from collections.abc import Mapping

KeywordsByType = Mapping[str, str]

PATIENT: KeywordsByType = {
    "1C": """
        DeidentificationMethod DeidentificationMethodCodeSequence PatientAlternativeCalendar
        PatientSpeciesCodeSequence PatientSpeciesDescription ResponsiblePersonRole
    """,
    "2": "PatientBirthDate PatientID PatientName PatientSex",
    "2C": """
        BreedRegistrationSequence PatientBreedCodeSequence PatientBreedDescription ResponsibleOrganization
        ResponsiblePerson
    """,
    "3": """
        EthnicGroupCodeSequence GeneticModificationsSequence GroupOfPatientsIdentificationSequence
        IssuerOfPatientID IssuerOfPatientIDQualifiersSequence OtherPatientIDsSequence OtherPatientNames
        PatientBirthDateInAlternativeCalendar PatientBirthTime PatientComments
        PatientDeathDateInAlternativeCalendar PatientIdentityRemoved QualityControlSubject
        ReferencedPatientPhotoSequence ReferencedPatientSequence SourcePatientGroupIdentificationSequence
        StrainAdditionalInformation StrainCodeSequence StrainDescription StrainNomenclature
        StrainStockSequence TypeOfPatientID
    """,
}
"""Patient Module (PS3.3, C.7.1.1)."""

CLINICAL_TRIAL_SUBJECT: KeywordsByType = {
    "1": "ClinicalTrialProtocolID ClinicalTrialSponsorName",
    "1C": "ClinicalTrialProtocolEthicsCommitteeName ClinicalTrialSubjectID ClinicalTrialSubjectReadingID",
    "2": "ClinicalTrialProtocolName ClinicalTrialSiteID ClinicalTrialSiteName",
    "3": """
        ClinicalTrialProtocolEthicsCommitteeApprovalNumber IssuerOfClinicalTrialProtocolID
        IssuerOfClinicalTrialSiteID IssuerOfClinicalTrialSubjectID IssuerOfClinicalTrialSubjectReadingID
        OtherClinicalTrialProtocolIDsSequence
    """,
}
"""Clinical Trial Subject Module (PS3.3, C.7.1.3)."""

GENERAL_STUDY: KeywordsByType = {
    "1": "StudyInstanceUID",
    "2": "AccessionNumber ReferringPhysicianName StudyDate StudyID StudyTime",
    "3": """
        ConsultingPhysicianIdentificationSequence ConsultingPhysicianName IssuerOfAccessionNumberSequence
        NameOfPhysiciansReadingStudy PhysiciansOfRecord PhysiciansOfRecordIdentificationSequence
        PhysiciansReadingStudyIdentificationSequence ProcedureCodeSequence
        ReasonForPerformedProcedureCodeSequence ReferencedStudySequence
        ReferringPhysicianIdentificationSequence RequestingService RequestingServiceCodeSequence
        StudyDescription
    """,
}
"""General Study Module (PS3.3, C.7.2.1)."""

PATIENT_STUDY: KeywordsByType = {
    "2C": "PatientSexNeutered",
    "3": """
        AdditionalPatientHistory AdmissionID AdmittingDiagnosesCodeSequence AdmittingDiagnosesDescription
        Allergies IssuerOfAdmissionIDSequence IssuerOfServiceEpisodeIDSequence LastMenstrualDate
        MeasuredAPDimension MeasuredLateralDimension MedicalAlerts Occupation PatientAge
        PatientBodyMassIndex PatientSize PatientSizeCodeSequence PatientState PatientWeight
        PregnancyStatus ReasonForVisit ReasonForVisitCodeSequence ServiceEpisodeDescription
        ServiceEpisodeID SmokingStatus
    """,
}
"""Patient Study Module (PS3.3, C.7.2.2)."""

CLINICAL_TRIAL_STUDY: KeywordsByType = {
    "1C": "LongitudinalTemporalEventType",
    "2": "ClinicalTrialTimePointID",
    "3": """
        ClinicalTrialTimePointDescription ClinicalTrialTimePointTypeCodeSequence
        ConsentForClinicalTrialUseSequence IssuerOfClinicalTrialTimePointID
        LongitudinalTemporalOffsetFromEvent
    """,
}
"""Clinical Trial Study Module (PS3.3, C.7.2.3)."""

CODE: KeywordsByType = {
    "1": "CodeMeaning",
    "1C": """
        CodeValue CodingSchemeDesignator CodingSchemeVersion ContextGroupExtensionCreatorUID
        ContextGroupLocalVersion ContextGroupVersion LongCodeValue MappingResource URNCodeValue
    """,
    "3": """
        ContextGroupExtensionFlag ContextIdentifier ContextUID EquivalentCodeSequence MappingResourceName
        MappingResourceUID
    """,
}
"""Code Sequence Macro (PS3.3, 8.8), of all sequences whose keyword ends with ``CodeSequence``."""

_REFERENCE: KeywordsByType = {
    "1": "ReferencedSOPClassUID ReferencedSOPInstanceUID",
}
"""SOP Instance Reference Macro (PS3.3, 10.8)."""

_DESIGNATOR: KeywordsByType = {
    "1C": "LocalNamespaceEntityID UniversalEntityID UniversalEntityIDType",
}
"""HL7v2 Hierarchic Designator Macro (PS3.3, 10.14)."""

_PERSON: KeywordsByType = {
    "1": "PersonIdentificationCodeSequence",
    "1C": "InstitutionCodeSequence InstitutionName",
    "3": """
        InstitutionAddress InstitutionalDepartmentName InstitutionalDepartmentTypeCodeSequence
        PersonAddress PersonTelecomInformation PersonTelephoneNumbers
    """,
}
"""Person Identification Macro (PS3.3, 10.1)."""

ITEMS: Mapping[str, KeywordsByType] = {
    "ReferencedPatientSequence": _REFERENCE,
    "ReferencedStudySequence": _REFERENCE,
    "IssuerOfPatientIDQualifiersSequence": {
        "1C": "UniversalEntityIDType",
        "3": """
            AssigningAgencyOrDepartmentCodeSequence AssigningFacilitySequence
            AssigningJurisdictionCodeSequence IdentifierTypeCode UniversalEntityID
        """,
    },
    "AssigningFacilitySequence": _DESIGNATOR,
    "IssuerOfAccessionNumberSequence": _DESIGNATOR,
    "IssuerOfAdmissionIDSequence": _DESIGNATOR,
    "IssuerOfServiceEpisodeIDSequence": _DESIGNATOR,
    "SourcePatientGroupIdentificationSequence": {
        "1": "PatientID",
        "3": "IssuerOfPatientID IssuerOfPatientIDQualifiersSequence",
    },
    "GroupOfPatientsIdentificationSequence": {
        "1": "PatientID",
        "3": """
            IssuerOfPatientID IssuerOfPatientIDQualifiersSequence PatientPosition
            SubjectRelativePositionInImage
        """,
    },
    "StrainStockSequence": {
        "1": "StrainSource StrainSourceRegistryCodeSequence StrainStockNumber",
    },
    "GeneticModificationsSequence": {
        "1": "GeneticModificationsDescription GeneticModificationsNomenclature",
        "3": "GeneticModificationsCodeSequence",
    },
    "OtherPatientIDsSequence": {
        "1": "PatientID TypeOfPatientID",
        "3": "IssuerOfPatientID IssuerOfPatientIDQualifiersSequence",
    },
    "ReferencedPatientPhotoSequence": {
        "1": "ReferencedSOPSequence TypeOfInstances",
        "1C": """
            DICOMMediaRetrievalSequence DICOMRetrievalSequence SeriesInstanceUID StudyInstanceUID
            WADORSRetrievalSequence WADORetrievalSequence XDSRetrievalSequence
        """,
    },
    "ReferencedSOPSequence": {
        "1": "ReferencedSOPClassUID ReferencedSOPInstanceUID",
        "1C": "HL7InstanceIdentifier ReferencedFrameNumber ReferencedSegmentNumber",
    },
    "DICOMRetrievalSequence": {
        "1": "RetrieveAETitle",
    },
    "DICOMMediaRetrievalSequence": {
        "1": "StorageMediaFileSetUID",
        "2": "StorageMediaFileSetID",
    },
    "WADORetrievalSequence": {
        "1": "RetrieveURI",
    },
    "XDSRetrievalSequence": {
        "1": "RepositoryUniqueID",
        "3": "HomeCommunityID",
    },
    "WADORSRetrievalSequence": {
        "1": "RetrieveURL",
    },
    "BreedRegistrationSequence": {
        "1": "BreedRegistrationNumber BreedRegistryCodeSequence",
    },
    "OtherClinicalTrialProtocolIDsSequence": {
        "1": "ClinicalTrialProtocolID IssuerOfClinicalTrialProtocolID",
    },
    "ReferringPhysicianIdentificationSequence": _PERSON,
    "ConsultingPhysicianIdentificationSequence": _PERSON,
    "PhysiciansOfRecordIdentificationSequence": _PERSON,
    "PhysiciansReadingStudyIdentificationSequence": _PERSON,
    "ConsentForClinicalTrialUseSequence": {
        "1": "ConsentForDistributionFlag",
        "1C": "ClinicalTrialProtocolID DistributionType",
        "3": "IssuerOfClinicalTrialProtocolID",
    },
}
"""The attributes of the items of other sequences, by the keyword of the sequence."""
