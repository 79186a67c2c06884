"""The window (Tkinter): the only part that knows widgets; it talks to the engine through its events and values."""
