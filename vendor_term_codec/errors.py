"""The two ways in which the codec fails. Both are ValueErrors, so that callers need not import them."""


class DecodeError(ValueError):
    """The bytes are not a term of the External Term Format, or exceed one of the codec's limits."""


class EncodeError(ValueError):
    """The Python value has no term, or is nested too deeply (or in itself)."""
