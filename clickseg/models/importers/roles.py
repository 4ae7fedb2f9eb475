"""Which series descriptions mean which input: contrasts of MR and phases of CT, by the name that a source gives it."""

from __future__ import annotations

import re

_T1 = "{t1,mprage,mp rage,bravo,spgr}"
_AGENT = "{post[!e],gad,gd,contrast,enhanced,+c , c+ , ce , km , mkm ,+km }"
_NO_AGENT = (
    "{pre,nativ,plain,without,w o , wo , non contrast,no contrast, ohne km , o km , no gad,non enhanced,unenhanced}"
)
_FLAIR = "{flair,dark fluid,darkfluid}"
_NO_IMAGE = "!*{scout,localizer,localiser,survey,3 plane,subtract, sub ,colour map,color map}*"

_NO_PHASE = "!*{scout,topogram,localizer,localiser,surview}*"

_T1_PATTERNS = (
    f"*{_T1}*",
    f"*{_T1}*{_FLAIR}*",
    f"*{_T1}*{_NO_AGENT}*",
    f"*{_NO_AGENT}*{_T1}*",
    f"*{_T1}*{_NO_AGENT}*{{contrast,gad,gd,enhanced}}*",
    f"*{_NO_AGENT}*{{contrast,gad,gd,enhanced}}*{_T1}*",
    "!*{t1 map,t1map,t1rho}*",
)
_T1_AGENT_PATTERNS = (
    "* {t1c,t1ce,t1c+,t1wc,t1wce,t1gd,t1gad,ct1,t1cm,t1km} *",
    f"*{_T1}*{_AGENT}*",
    f"*{_AGENT}*{_T1}*",
    f"*{_T1}*{_FLAIR}*{_AGENT}*",
    f"*{_AGENT}*{_T1}*{_FLAIR}*",
)
_DESCRIPTIONS = {
    "t1": (*_T1_PATTERNS, _NO_IMAGE),
    "t1 with agent": (*_T1_AGENT_PATTERNS, _NO_IMAGE),
    "t2": ("*t2*", "!*{t2[*],t2 star,t2star,t2 map,t2map,swi,gre }*", _NO_IMAGE),
    "flair": (f"*{_FLAIR}*", f"*t2*{_FLAIR}*", f"*{_FLAIR}*t2*", "* {t2f,t2flair} *", _NO_IMAGE),
    "adc": ("*adc*", "*apparent*diffusion*", "!*{eadc,exponential}*"),
    "arterial": ("*{arter,corticomed}*", "* {art,ap,cmp} *", _NO_PHASE),
    "venous": (
        "*{venous,vein,venoes,venös,portal,nephrogr}*",
        "*parenchym*phase*",
        "* {ven,vp,pv,pvp,np} *",
        _NO_PHASE,
    ),
    "excretory": (
        "*{excret,delay, late ,latephase,urogra,pyelogr}*",
        "* {exc,ep,del} *",
        "*{ ,+,s}{3,5,7,8,10,15} min *",
        _NO_PHASE,
    ),
    "plain": (
        "*{native,nativ,plain,noncontrast,unenhanced,precontrast}*",
        "*{non,no,without,w o,pre} {contrast,cm,km}*",
        _NO_PHASE,
    ),
}
_ROLES = {
    "t1": ("t1", "t1w", "t1n", "t1nat", "t1pre", "t1native", "t1mr", "mprage"),
    "t1 with agent": ("t1c", "t1ce", "t1gd", "t1gad", "t1post", "t1km", "t1wce", "t1wgd", "ct1", "t1cm", "t1contrast"),
    "t2": ("t2", "t2w", "t2mr"),
    "flair": ("flair", "t2f", "t2flair", "fl"),
    "adc": ("adc",),
    "arterial": ("artery", "arterial", "art", "arterialphase", "corticomedullary"),
    "venous": ("vein", "venous", "ven", "portal", "portalvenous", "venousphase", "nephrographic"),
    "excretory": ("excret", "excretory", "delayed", "delay", "late", "urographic", "excretoryphase"),
    "plain": ("native", "nativ", "plain", "noncontrast", "unenhanced"),
}
_ROLE_OF_NAME = {name: role for role, names in _ROLES.items() for name in names}
_GENERIC = re.compile(r"^(image|img|channel|input|modality|ct|mr|mri|pet|pt)?\d*$")
_MAX_NAME = 48


def role_descriptions(name: str) -> list[str]:
    """Returns the patterns of series descriptions for an input; empty if the name has no meaning.

    Args:
        name: The name of the input in its source, such as ``T1c``, ``FLAIR`` or ``artery``.
    """
    letters = re.sub(r"[\W_]", "", name.lower())
    role = _ROLE_OF_NAME.get(letters)
    if role is not None:
        return list(_DESCRIPTIONS[role])
    words = " ".join(re.findall(r"[^\W_]+", name.lower()))
    return [] if _GENERIC.match(letters) or len(words) > _MAX_NAME else [f"*{words}*"]
