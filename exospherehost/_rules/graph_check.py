"""What a graph template must fulfil, in three steps: its fields, its shape, its nodes.

What :func:`check_fields` finds is answered with 422, what :func:`check_template` finds with 400; what
:func:`verify` finds makes the version INVALID. :func:`hosted_differences` refuses nothing by itself.
"""

from exospherehost._rules.graph_fields import check_fields
from exospherehost._rules.graph_shape import check_template
from exospherehost._rules.graph_verification import verify
from exospherehost._rules.hosted_differences import hosted_differences

__all__ = ["check_fields", "check_template", "hosted_differences", "verify"]
