"""The MONAI Application Package: building it, and running one."""
