"""Arrays in, arrays out: no paths, no settings, no FITS."""
