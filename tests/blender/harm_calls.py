"""Calls of handlers that do harm, from one real Erlang node: for the tests in Blender without and with a window."""

from collections.abc import Mapping

from tests.blender.erlang import erl
from tests.blender.harmful_handlers import ANY, Case

_CODE = """
    N = '{node}',
    AnswerOf = fun(Name) ->
        try erpc:call(N, m, Name, [], 30000) of
            _ -> <<"value">>
        catch
            error:{{exception, {{python_error, #{{type := Type}}}}, _}} -> Type;
            error:{{exception, _, _}} -> <<"error">>;
            exit:{{exception, _}} -> <<"exit">>;
            throw:_ -> <<"throw">>;
            error:{{erpc, Reason}} -> atom_to_binary(Reason)
        end
    end,
    Honest = fun Again(Tries) ->
        case AnswerOf(honest) of
            <<"value">> -> true;
            _ when Tries > 1 -> erlang:disconnect_node(N), timer:sleep(100), Again(Tries - 1);
            Other -> Other
        end
    end,
    [begin
        Given = AnswerOf(Name),
        Disconnects andalso erlang:disconnect_node(N),
        {{Given, Honest(case Disconnects of true -> 100; false -> 1 end)}}
    end || {{Name, Disconnects}} <- [{calls}]]
"""


def costly(node: str, cases: Mapping[str, Case], environment: dict[str, str]) -> dict[str, tuple[str, object]]:
    """Call the handlers one after the other, and an honest one after each.

    After a handler that stops the server, the honest call may take several attempts.

    Returns:
        The handlers that have cost more than their own call, each with its answer and that of the honest call.
    """
    calls = ", ".join(f"{{{name}, {str(case.disconnects).lower()}}}" for name, case in cases.items())
    answers = dict(zip(cases, erl(_CODE.format(node=node, calls=calls), environment), strict=True))
    return {
        name: (given, honest)
        for name, (given, honest) in answers.items()
        if honest is not True or not _is_expected(cases[name].answer, given)
    }


def _is_expected(answer: str, given: str) -> bool:
    return given not in ("timeout", "noconnection") if answer == ANY else given == answer
