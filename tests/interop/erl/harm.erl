%% Calls of handlers that do harm.
-module(harm).
-export([outcome/3]).

%% The answer of a handler as `tests/blender/harmful_handlers.py` writes it.
outcome(N, Name, Patience) ->
    try erpc:call(N, m, Name, [], Patience) of
        _ -> <<"value">>
    catch
        error:{exception, {python_error, #{type := Type}}, _} -> Type;
        error:{exception, _, _} -> <<"error">>;
        exit:{exception, _} -> <<"exit">>;
        throw:_ -> <<"throw">>;
        error:{erpc, Reason} -> atom_to_binary(Reason)
    end.
