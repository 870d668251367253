defmodule BeamBpy.Remote do
  @moduledoc false
  # One call to one node, with `:erpc`. Every outcome becomes a tagged tuple.

  alias BeamBpy.Error

  @type mfargs :: {module(), atom(), [term()]}

  @doc "Calls a handler. `timeout` is in milliseconds."
  @spec call(node(), mfargs(), timeout()) :: {:ok, term()} | {:error, Error.t()}
  def call(node, {module, function, args} = mfargs, timeout) do
    {:ok, :erpc.call(node, module, function, args, timeout)}
  catch
    class, reason -> {:error, error(class, reason, node, mfargs, timeout)}
  end

  @doc "Casts to a handler. Waits while the connection is full, as each message to another node does."
  @spec cast(node(), mfargs()) :: :ok
  def cast(node, {module, function, args}), do: :erpc.cast(node, module, function, args)

  @doc "Like `cast/2`, but does not wait: if the connection is full, it sends nothing and returns `:full`."
  @spec try_cast(node(), mfargs()) :: :ok | :full
  def try_cast(node, {module, function, args}) do
    # A cast of `:rpc` before OTP 23. Only messages can be sent with `:nosuspend`; `:erpc.cast` spawns a process.
    message = {:"$gen_cast", {:cast, module, function, args, :user}}

    case :erlang.send({:rex, node}, message, [:nosuspend]) do
      :ok -> :ok
      :nosuspend -> :full
    end
  end

  @doc """
  Starts a call. Its outcome comes as a message to the calling process, see `response/4`.

  With a receiver `{pid, tag}`, this process gets the reports of progress, as `{:progress, tag, value}`.
  """
  @spec request(node(), mfargs(), {pid(), term()} | nil) :: :erpc.request_id()
  def request(node, {module, function, args}, nil),
    do: :erpc.send_request(node, module, function, args)

  def request(node, {module, function, args}, receiver) do
    arguments = [receiver, Atom.to_string(function), args]
    :erpc.send_request(node, module, :call_with_progress, arguments)
  end

  @doc "The outcome of a request, if this message is its outcome."
  @spec response(term(), :erpc.request_id(), node(), mfargs()) ::
          {:ok, term()} | {:error, Error.t()} | :no_response
  def response(message, request, node, mfargs) do
    with {:response, result} <- :erpc.check_response(message, request), do: {:ok, result}
  catch
    class, reason -> {:error, error(class, reason, node, mfargs, :infinity)}
  end

  @doc "The text `Module.function/arity`."
  @spec name(mfargs()) :: String.t()
  def name({module, function, args}) do
    Exception.format_mfa(module, function, length(args))
  end

  @doc "The error of a `reason` with which a called function ended, as `call_batch` reports it."
  @spec exception_error(term(), node() | nil, mfargs()) :: Error.t()
  def exception_error({:python_error, %{type: type, message: text} = map}, node, mfargs) do
    %Error{
      kind: :python,
      function: name(mfargs),
      node: node,
      type: type,
      text: text,
      traceback: Map.get(map, :traceback),
      output: Map.get(map, :output)
    }
  end

  def exception_error(:undef, node, mfargs) do
    %Error{
      kind: :undef,
      function: name(mfargs),
      node: node,
      text: "the node has no such handler; `BeamBpy.handlers/1` lists the handlers of a node"
    }
  end

  def exception_error(reason, node, mfargs) do
    %Error{
      kind: :erlang,
      function: name(mfargs),
      node: node,
      reason: {:error, reason},
      text: sentence(reason)
    }
  end

  # Most reasons of a node are a word and a sentence: {:busy, "..."}, {:cancelled, "..."}, {:badarg, "..."}.
  defp sentence({word, sentence}) when is_atom(word) and is_binary(sentence), do: sentence
  defp sentence(_reason), do: nil

  defp error(:error, {:exception, reason, _stack}, node, mfargs, _timeout) do
    exception_error(reason, node, mfargs)
  end

  defp error(:error, {:erpc, :timeout}, node, mfargs, timeout),
    do: too_late(node, mfargs, timeout)

  defp error(:error, {:erpc, :noconnection}, node, mfargs, _timeout) do
    %Error{
      kind: :not_connected,
      function: name(mfargs),
      node: node,
      text: why_not_connected(node)
    }
  end

  defp error(:error, {:erpc, reason}, node, mfargs, _timeout) do
    %Error{kind: :erlang, function: name(mfargs), node: node, reason: {:error, reason}}
  end

  defp error(:exit, {tag, reason}, node, mfargs, _timeout) when tag in [:exception, :signal] do
    %Error{kind: :erlang, function: name(mfargs), node: node, reason: {:exit, reason}}
  end

  defp error(:throw, value, node, mfargs, _timeout) do
    %Error{kind: :erlang, function: name(mfargs), node: node, reason: {:throw, value}}
  end

  defp error(class, reason, node, mfargs, _timeout) do
    %Error{kind: :erlang, function: name(mfargs), node: node, reason: {class, reason}}
  end

  @doc "The error of a call that was not finished in time."
  @spec too_late(node(), mfargs(), timeout()) :: Error.t()
  def too_late(node, mfargs, timeout) do
    %Error{
      kind: :timeout,
      function: name(mfargs),
      node: node,
      text: "there was no answer within #{timeout} milliseconds"
    }
  end

  @doc "A sentence that says why a node cannot be reached, as far as this node can find out."
  @spec why_not_connected(node()) :: String.t()
  def why_not_connected(node) do
    cond do
      not Node.alive?() ->
        without_name()

      not same_kind_of_name?(node) ->
        "#{node} and this node (#{node()}) have different kinds of names: one of them has a host with a dot and " <>
          "the other one without; give both the same kind of name"

      registered?(node) ->
        "#{node} runs, but the connection failed or was lost: check that its cookie is the cookie of this node, " <>
          "and that both or neither of the nodes use TLS"

      true ->
        "no node #{node} runs: check its name, and that epmd knows it (`epmd -names`)"
    end
  end

  @doc "The sentence for a BEAM that is not distributed."
  @spec without_name() :: String.t()
  def without_name do
    "this BEAM has no node name, so it cannot connect to a node: start it with `--name app@127.0.0.1`, or call " <>
      "`Node.start(:\"app@127.0.0.1\")` first, which needs a running epmd (`epmd -daemon`)"
  end

  defp same_kind_of_name?(node) do
    [_name, host] = node |> Atom.to_string() |> String.split("@", parts: 2)
    String.contains?(host, [".", ":"]) == :net_kernel.longnames()
  end

  defp registered?(node) do
    [name, host] = node |> Atom.to_string() |> String.split("@", parts: 2)
    match?({:port, _port, _version}, :erl_epmd.port_please(to_charlist(name), to_charlist(host)))
  end
end
