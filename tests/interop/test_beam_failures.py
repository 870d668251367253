"""How calls fail: unknown handlers exactly as on a BEAM node, Python exceptions, and failures that handlers choose."""

from collections.abc import Callable
from typing import Any

import pytest
from beam import Erl, eventually

from beam_bpy import Atom, BeamServer


def both(erl: Erl, reference: Erl, code: str) -> tuple[Any, Any]:
    """The results of the same code with the server and with a BEAM node as the called node, Node."""
    return erl.eval(code, Node=erl.bindings["N"]), erl.eval(code, Node=Atom(reference.node))


UNDEFINED = [
    "rpc:call(Node, no_module, no_function, [1, <<\"two\">>])",
    "rpc:call(Node, no_module, no_function, [])",
    "rpc:call(Node, no_module, no_function, \"string\")",
    "rpc:call(Node, no_module, no_function, [a], 5000)",
    "rpc:call(Node, no_module, call_handler, [<<\"no_handler\">>, []])",
    "rpc:yield(rpc:async_call(Node, no_module, no_function, [1]))",
    "rpc:multicall([Node], no_module, no_function, [1])",
    "erpc:multicall([Node], no_module, no_function, [1])",
    "try erpc:call(Node, no_module, no_function, [1]) catch C:R -> {C, R} end",
    "try erpc:call(Node, no_module, no_function, \"string\") catch C:R -> {C, R} end",
    "try erpc:receive_response(erpc:send_request(Node, no_module, f, [1])) catch C:R -> {C, R} end",
    "{P, M} = spawn_monitor(Node, no_module, no_function, [1]), {P, Reason} = probe:down(M), Reason",
    "process_flag(trap_exit, true), probe:exit_of(spawn_link(Node, no_module, no_function, [1, 2]))",
    "rpc:call(Node, 'Elixir.NoModule', 'no function?', [])",
]  # fmt: skip


@pytest.mark.parametrize("code", UNDEFINED)
def test_an_unknown_handler_is_undef_exactly_as_on_a_beam_node(erl: Erl, reference: Erl, code: str) -> None:
    ours, beams = both(erl, reference, code)
    assert ours == beams
    assert "undef" in repr(ours)


def test_an_unknown_handler_is_what_the_design_says(erl: Erl) -> None:
    answer = erl.eval("rpc:call(N, m, f, [1])")
    assert answer == (Atom("badrpc"), (Atom("EXIT"), (Atom("undef"), [(Atom("m"), Atom("f"), [1], [])])))


def test_an_unknown_handler_through_rex_is_undef_as_on_a_beam_node(erl: Erl, reference: Erl) -> None:
    for code in (
        "gen_server:call({rex, Node}, {call, no_module, f, [1], group_leader()})",
        "{rex, Node} ! {self(), {call, no_module, f, [1], user}}, {rex, Answer} = probe:message(), Answer",
    ):
        # The BEAM's own stack goes on with lines of rpc.erl.
        first = f"{{badrpc, {{'EXIT', {{Reason, [Top | _]}}}}}} = begin {code} end, {{Reason, Top}}"
        ours, beams = both(erl, reference, first)
        assert ours == beams == (Atom("undef"), (Atom("no_module"), Atom("f"), [1], []))


def test_an_unknown_handler_of_a_gen_server_call_ends_the_call_with_undef(erl: Erl) -> None:
    kind, (reason, where) = erl.eval("probe:attempt(fun() -> gen_server:call(S, {nothing, [1]}) end)")
    name = erl.bindings["S"][0]
    assert kind == "exit"
    assert reason == (Atom("undef"), [(name, Atom("nothing"), [1], [])])
    assert where[:2] == (Atom("gen_server"), Atom("call"))


def test_arguments_that_are_no_list_fail_as_on_a_beam_node(erl: Erl, reference: Erl) -> None:
    for code in (
        "try erpc:call(Node, m, f, not_a_list) catch C:R -> {C, R} end",
        "try rpc:call(Node, m, f, not_a_list) catch C:R -> {C, R} end",
    ):
        ours, beams = both(erl, reference, code)
        assert ours == beams


@pytest.mark.parametrize("request_", ["{echo, one}", "{1.5, []}", "{echo, [], more}", "{}", "17"])
def test_a_gen_server_request_that_makes_no_sense_fails_at_once(erl: Erl, request_: str) -> None:
    """A BEAM's gen_server crashes over it, so its caller need not wait for the timeout."""
    code = f"""
        case probe:attempt(fun() -> gen_server:call(S, {request_}, 2000) end) of
            {{exit, {{timeout, _}}}} -> nobody_answered;
            _ -> answered
        end
    """
    assert erl.eval(code) == Atom("answered")


def test_a_rex_call_whose_arguments_are_no_list_is_badarg_as_on_a_beam_node(erl: Erl, reference: Erl) -> None:
    code = """
        {badrpc, {'EXIT', {Reason, _}}} = gen_server:call({rex, Node}, {call, m, echo, one, group_leader()}, 2000),
        case Reason of {badarg, _} -> badarg; _ -> Reason end
    """
    ours, beams = both(erl, reference, code)
    assert ours == beams == Atom("badarg")


def test_a_wrapper_whose_first_argument_names_nothing_is_undef_as_on_a_beam_node(erl: Erl, reference: Erl) -> None:
    code = "[rpc:call(Node, m, call_handler, Args) || Args <- [[1, 2], [{}, []], [1.5, []], [<<255>>, []]]]"
    ours, beams = both(erl, reference, code)
    assert ours == beams


def check_python_error(term: Any, kind: str, message: str) -> None:
    tag, details = term
    assert tag == Atom("python_error")
    assert isinstance(tag, Atom)
    assert sorted(details) == ["message", "traceback", "type"]
    assert all(isinstance(key, Atom) and not isinstance(value, Atom) for key, value in details.items())
    assert details["type"] == kind
    assert message in details["message"]
    assert details["traceback"].rstrip().endswith(details["message"])


def test_a_python_exception_through_erpc(erl: Erl) -> None:
    kind, reason = erl.eval('probe:attempt(fun() -> erpc:call(N, m, crash, [<<"no such cube">>]) end)')
    exception, error, stack = reason
    assert (kind, exception) == ("error", "exception")
    check_python_error(error, "ValueError", "no such cube")
    assert 'beam.py", line' in error[1]["traceback"]
    assert "beam_bpy/calls.py" not in error[1]["traceback"]
    assert stack[0][:2] == (Atom("m"), Atom("crash"))


def test_the_same_exception_is_what_a_beam_node_would_make_of_that_reason(erl: Erl, reference: Erl) -> None:
    """The shapes around the reason, for each way to call, are those that `erlang:error(Reason)` has on a BEAM node."""
    code = """
        {error, {exception, R1, S1}} = probe:attempt(fun() -> erpc:call(Node, M, F, A) end),
        {badrpc, {'EXIT', {R2, S2}}} = rpc:call(Node, M, F, A),
        [{error, {exception, R3, S3}}] = erpc:multicall([Node], M, F, A),
        {[{badrpc, {'EXIT', {R4, S4}}}], []} = rpc:multicall([Node], M, F, A),
        {_, Ref} = spawn_monitor(Node, M, F, A),
        {_, {R5, S5}} = probe:down(Ref),
        process_flag(trap_exit, true),
        {R6, S6} = probe:exit_of(spawn_link(Node, M, F, A)),
        {badrpc, {'EXIT', {R7, S7}}} = gen_server:call({rex, Node}, {call, M, F, A, group_leader()}),
        true = lists:all(fun erlang:is_list/1, [S1, S2, S3, S4, S5, S6, S7]),
        [R1, R2, R3, R4, R5, R6, R7]
    """
    reasons = erl.eval(code, Node=erl.bindings["N"], M=Atom("m"), F=Atom("crash"), A=["boom"])
    for reason in reasons:
        check_python_error(reason, "ValueError", "boom")
    chosen = (Atom("python_error"), {Atom("type"): "ValueError"})
    beams = erl.eval(code, Node=Atom(reference.node), M=Atom("erlang"), F=Atom("error"), A=[chosen])
    assert beams == [chosen] * 7


def test_a_python_exception_through_gen_server_ends_the_call_and_not_the_server(erl: Erl) -> None:
    code = 'probe:attempt(fun() -> gen_server:call(S, {crash, [<<"no such cube">>]}) end)'
    kind, ((error, stack), (module, function, _args)) = erl.eval(code)
    assert (kind, module, function) == ("exit", "gen_server", "call")
    check_python_error(error, "ValueError", "no such cube")
    assert isinstance(stack, list)
    assert erl.eval("gen_server:call(S, {ping, []})") == "pong"


def test_a_failing_call_does_not_disturb_another_one_to_the_same_server(erl: Erl) -> None:
    code = """
        Bad = gen_server:send_request(S, {crash, [<<"x">>]}),
        Good = gen_server:send_request(S, {ping, []}),
        {error, {{{python_error, _}, _}, S}} = gen_server:receive_response(Bad, 5000),
        gen_server:receive_response(Good, 5000)
    """
    assert erl.eval(code) == (Atom("reply"), "pong")


CHOSEN = """
    Stackless = fun({exception, Reason, Stack}) when is_list(Stack) -> {exception, Reason};
                   (Other) -> Other end,
    {Class, Reason} = probe:attempt(fun() -> erpc:call(Node, M, F, A) end),
    Rpc = case rpc:call(Node, M, F, A) of
        {badrpc, {'EXIT', {Why, [{_, _, _, _} | _]}}} -> {badrpc, {'EXIT', {Why, stack}}};
        Value -> Value
    end,
    {_, Ref} = spawn_monitor(Node, M, F, A),
    Down = case probe:down(Ref) of
        {_, {Cause, [{_, _, _, _} | _]}} -> {Cause, stack};
        {_, Cause} -> Cause
    end,
    Rex = case gen_server:call({rex, Node}, {call, M, F, A, group_leader()}) of
        {badrpc, {'EXIT', {Ground, [{_, _, _, _} | _]}}} -> {badrpc, {'EXIT', {Ground, stack}}};
        Returned -> Returned
    end,
    [{Class, Stackless(Reason)}, Rpc, Down, Rex]
"""


@pytest.mark.parametrize("kind", ["error", "exit", "throw"])
@pytest.mark.parametrize("reason", [Atom("enough"), (Atom("not_found"), "Cube"), [1, {Atom("a"): 1.5}], "text"])
def test_a_chosen_failure_is_what_the_same_bif_does_on_a_beam_node(
    erl: Erl, reference: Erl, kind: str, reason: Any
) -> None:
    ours = erl.eval(CHOSEN, Node=erl.bindings["N"], M=Atom("m"), F=Atom("fail"), A=[kind, reason])
    beams = erl.eval(CHOSEN, Node=Atom(reference.node), M=Atom("erlang"), F=Atom(kind), A=[reason])
    assert ours == beams


@pytest.mark.parametrize("kind", ["error", "exit"])
def test_a_chosen_failure_ends_a_gen_server_call_as_a_beam_server_that_crashes(
    erl: Erl, reference: Erl, kind: str
) -> None:
    name = Atom(f"crashing_{kind}")
    reference.eval("logger:set_primary_config(level, none), is_pid(probe:start_server(Name))", Name=name)
    code = """
        {exit, {Reason, {gen_server, call, [To, _]}}} = probe:attempt(fun() -> gen_server:call(To, Request) end),
        case Reason of
            {Why, [{_, _, _, _} | _]} -> {Why, stack};
            Why -> Why
        end
    """
    ours = erl.eval(code, To=erl.bindings["S"], Request=(Atom("fail"), [kind, Atom("enough")]))
    beams = erl.eval(code, To=(name, Atom(reference.node)), Request=(Atom(kind), [Atom("enough")]))
    assert ours == beams


def test_a_thrown_value_ends_a_gen_server_call_with_nocatch(erl: Erl) -> None:
    kind, (reason, _where) = erl.eval('probe:attempt(fun() -> gen_server:call(S, {fail, [<<"throw">>, ball]}) end)')
    assert (kind, reason[0]) == ("exit", (Atom("nocatch"), Atom("ball")))


@pytest.mark.parametrize(
    ("handler", "kind", "message"),
    [
        ("unencodable", "EncodeError", 'result["mesh"][1]: cannot encode object'),
        ("nan", "EncodeError", "nan"),
        ("leave", "SystemExit", "no"),
    ],
)
def test_a_result_that_has_no_term_and_an_exit_are_exceptions_too(
    erl: Erl, handler: str, kind: str, message: str
) -> None:
    code = "{_, {exception, R, _}} = probe:attempt(fun() -> erpc:call(N, m, F, []) end), R"
    check_python_error(erl.eval(code, F=Atom(handler)), kind, message)


def test_wrong_arguments_are_a_type_error_that_names_the_function(erl: Erl) -> None:
    code = "{_, {exception, R, _}} = probe:attempt(fun() -> erpc:call(N, m, crash, [1, 2, 3]) end), R"
    tag, details = erl.eval(code)
    assert (tag, details["type"]) == ("python_error", "TypeError")
    assert "positional argument" in details["message"]


def test_a_reason_that_has_no_term_is_an_exception_that_says_so(server: BeamServer, erl: Erl) -> None:
    from beam_bpy import ErlangError

    def choose(args: list[Any]) -> None:
        raise ErlangError(object())

    server.register_handler("choose_badly", choose)
    code = "{_, {exception, R, _}} = probe:attempt(fun() -> erpc:call(N, m, choose_badly, []) end), R"
    reason = erl.eval(code)
    server.unregister_handler("choose_badly")
    assert reason[1]["type"] == "EncodeError"


def test_a_message_with_any_text_arrives(server: BeamServer, erl: Erl) -> None:
    def odd(args: list[Any]) -> None:
        raise RuntimeError("λ \ud800 中" + "x" * 100_000)

    server.register_handler("odd", odd)
    code = "{_, {exception, R, _}} = probe:attempt(fun() -> erpc:call(N, m, odd, []) end), R"
    _tag, details = erl.eval(code)
    server.unregister_handler("odd")
    assert details["message"].startswith("λ ? 中xxx")


def test_failing_casts_go_to_the_log(erl: Erl, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "beam_bpy"):
        erl.eval('gen_server:cast(S, {crash, [<<"first">>]}), erpc:cast(N, casts, crash, [<<"second">>])')
        # A module that no other test names: an equal message within ten seconds would only be counted.
        erl.eval('spawn(N, casts, crash, [<<"third">>]), erpc:call(N, m, ping, [])')
        for message in ("first", "second", "third"):
            eventually(
                lambda message=message: (
                    len([line for line in caplog.messages if f"ValueError: {message}" in line]) == 1
                ),
                f"one line about {message}",
            )


@pytest.fixture
def fresh(start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]) -> tuple[BeamServer, Erl]:
    """A server and a node of this test's own: what kills the server's worker thread must not fail other tests."""
    server = start_server()
    assert server.start(), server.last_error
    return server, start_erl().call(server)


def test_an_exception_that_cannot_even_say_what_it_is_fails_the_call_alone(fresh: tuple[BeamServer, Erl]) -> None:
    server, erl = fresh

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def choose(args: list[Any]) -> None:
        raise MuteError

    server.register_handler("mute", choose)
    kind, reason = erl.eval("probe:attempt(fun() -> erpc:call(N, m, mute, [], 2000) end)")
    assert (kind, reason[0]) == ("error", "exception")
    assert reason[1][1]["type"] == "MuteError"
    assert erl.eval("erpc:call(N, m, ping, [], 2000)") == "pong"


@pytest.mark.parametrize("reason", ["1 bsl 20000", "lists:duplicate(10000, a)", "#{key => <<0:800000>>}"])
def test_a_reason_of_any_size_ends_the_process_that_has_it(fresh: tuple[BeamServer, Erl], reason: str) -> None:
    _server, erl = fresh
    code = f"""
        Reason = {reason},
        {{Pid, Ref}} = spawn_monitor(N, m, fail, [exit, Reason]),
        receive {{'DOWN', Ref, process, Pid, Reason}} -> same after 2000 -> no_end end
    """
    assert erl.eval(code) == Atom("same")
    assert erl.eval("erpc:call(N, m, ping, [], 2000)") == "pong"


@pytest.mark.parametrize("call", ["erpc:call(N, m, F, [Deep], 10000)", "gen_server:call(S, {F, [Deep]}, 10000)"])
@pytest.mark.parametrize("function", ["inline_echo", "nothing"])
def test_a_term_that_is_nested_too_deep_fails_its_own_call_alone(erl: Erl, call: str, function: str) -> None:
    code = f"""
        erlang:monitor_node(N, true),
        Deep = lists:foldl(fun(_, Inner) -> {{Inner}} end, x, lists:seq(1, 100000)),
        Outcome = case probe:attempt(fun() -> {call} end) of
            {{value, [Deep]}} -> same;
            {{error, {{exception, Reason, _}}}} -> {{failed, Reason}};
            {{exit, {{timeout, _}}}} -> nobody_answered;
            {{exit, {{Reason, _}}}} -> {{failed, Reason}};
            {{error, Other}} -> Other
        end,
        {{is_tuple(Outcome) andalso element(1, Outcome) =:= failed orelse Outcome =:= same, Outcome, probe:nothing()}}
    """
    good, outcome, connected = erl.eval(code, F=Atom(function))
    assert good, outcome
    assert connected is True
