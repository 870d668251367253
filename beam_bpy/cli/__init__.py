"""The command line `beam-bpy`.

- `main`: the commands and their exit codes
- `serve`: answer calls; `load_handlers`: handlers from a file or a module
- `call`: call other nodes; `term_text`: terms as text
"""
