"""The preview renderer: it draws a title card in place of the model's video.

`scenery.choose_scenery` chooses colours and layers by the prompt, `scenery.Scene` draws them, `title_card`
draws title and marks over them, `clip` encodes the frames, and `render` makes all files of an order.
The same input gives the same bytes.
"""
