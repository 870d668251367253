"""The two exceptions of the codec. Both are subclasses of ValueError, so callers can catch them without this import."""


class DecodeError(ValueError):
    """The bytes are not a valid term of the External Term Format, or the term exceeds one of the codec's limits."""


class EncodeError(ValueError):
    """The Python value has no Erlang term, is nested too deeply, or contains itself."""
