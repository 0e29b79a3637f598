"""From the arguments of a call to a checked request with a fingerprint.

`request` has `VideoRequest` and the rules for prompts and images, and converts the given values; `validation`
checks them against the endpoint's schema. `media_input` accepts files in all their forms, `local_file` is one
file of this machine, and `file_types` recognises formats.
"""
