"""What astropy needs beside the modules that are seen to be imported; the usual hook takes all, four times as much."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules, copy_metadata

datas = collect_data_files("astropy", excludes=["**/tests/**", "**/*.h", "**/*.hh", "**/*.js", "**/*.css"])
datas += collect_data_files("astropy", include_py_files=True, includes=["**/*_lextab.py", "**/*_parsetab.py"])
datas += copy_metadata("astropy")
hiddenimports = [  # imported by names that are put together
    *collect_submodules("astropy.constants", filter=lambda name: ".tests" not in name),
    *collect_submodules("astropy.units", filter=lambda name: ".tests" not in name),
    "numpy.lib.recfunctions",  # by compiled code
    "astropy.coordinates.angles.angle_lextab",
    "astropy.coordinates.angles.angle_parsetab",
]
