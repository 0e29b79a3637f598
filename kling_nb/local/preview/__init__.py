"""The preview renderer: it draws a title card in place of the model's video.

`scenery.choose_scenery` chooses colours and layers by the prompt, and `scenery.Scene` draws them. `render`
makes all files of an order, with title and marks over the frames, and `clip` encodes them.
The same input gives the same bytes.
"""
