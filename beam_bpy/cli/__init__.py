"""The command line `beam-bpy`.

- `main`: the commands and their exit codes; `output`: what they print, also if nobody can read it
- `serve`: answer calls; `serving`: what it shares with Blender's `serve`; `setting_options`: the options for settings
- `load_handlers`: handlers from a file or a module; `log_output`: the log; `metrics`: Prometheus; `service_manager`:
  systemd; `owner`: the end of the program that has started a node
- `call`: call other nodes, also `ping` and `nodes`; `health`: the state of a node; `term_text`: terms as text
"""
