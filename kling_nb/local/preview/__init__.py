"""The preview renderer: a title sequence in place of the video that the model would make.

A *mood* (palette, land, weather) is read from the prompt's words; a *scene* stacks
sky, disc, plates of land, weather, lettering and marks on a *canvas*; *film* encodes
the frames. The same input gives the same bytes.
"""
