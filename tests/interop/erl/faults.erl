%% Calls of handlers that fail, each in every way that there is to call.
-module(faults).
-export([every_way/3, casts/3]).

-define(PATIENCE, 15000).

%% How each way to call the handler Name has come out: the type of a Python exception, a class, or `timeout`.
every_way(N, S, Name) ->
    Nested = [Name, []],
    [
        {erpc, outcome(fun() -> erpc:call(N, m, Name, [], ?PATIENCE) end)},
        {rpc, outcome(fun() -> rpc:call(N, m, Name, [], ?PATIENCE) end)},
        {gen_server, outcome(fun() -> gen_server:call(S, {Name, []}, ?PATIENCE) end)},
        {rex, outcome(fun() -> gen_server:call({rex, N}, {call, m, Name, [], group_leader()}, ?PATIENCE) end)},
        {named, outcome(fun() -> erpc:call(N, m, call_handler, Nested, ?PATIENCE) end)},
        {batch, outcome(fun() -> erpc:call(N, m, call_batch, [[{Name, []}]], ?PATIENCE) end)},
        {progress, outcome(fun() -> erpc:call(N, m, call_with_progress, [self() | Nested], ?PATIENCE) end)},
        {spawn, outcome(fun() -> ended(spawn_monitor(N, m, Name, [])) end)}
    ].

casts(N, S, Name) ->
    erpc:cast(N, m, Name, []),
    rpc:cast(N, m, Name, []),
    gen_server:cast(S, {Name, []}),
    spawn(N, m, Name, []),
    ok.

ended({Pid, Ref}) ->
    receive
        {'DOWN', Ref, process, Pid, Reason} -> Reason
    after ?PATIENCE -> exit(timeout)
    end.

outcome(Fun) ->
    {Class, Reason} = probe:attempt(Fun),
    case {type(Reason), timeout(Reason)} of
        {none, true} -> timeout;
        {none, false} -> Class;
        {Type, _} -> Type
    end.

type({python_error, #{type := Type}}) -> Type;
type(Tuple) when is_tuple(Tuple) -> type(tuple_to_list(Tuple));
type([First | Rest]) ->
    case type(First) of
        none -> type(Rest);
        Type -> Type
    end;
type(_) -> none.

timeout(timeout) -> true;
timeout({Reason, Where}) when is_tuple(Where); is_atom(Where) -> timeout(Reason) orelse timeout(Where);
timeout(_) -> false.
