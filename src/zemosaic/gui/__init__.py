"""The window (Tkinter): the only part that knows widgets; it talks to the engine through its events and values.

`launch` is all that the command line knows of it. What can be said without a widget (`engine`, `work`, `progress`, `state`) is
in modules that import none, and is tested without a screen.
"""
