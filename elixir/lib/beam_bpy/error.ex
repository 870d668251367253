defmodule BeamBpy.Error do
  @moduledoc """
  Why a call failed.

  Functions of `BeamBpy` return it as `{:error, %BeamBpy.Error{}}`. Functions that end with `!` raise it.
  `message/1` is a sentence for a log or for a user.

  | `kind` | what happened | also set |
  |---|---|---|
  | `:python` | the handler raised a Python exception | `type`, `text`, `traceback`; for code of `BeamBpy.Python` also `output` |
  | `:erlang` | the handler raised an Erlang exception, or the node refused the call | `reason` |
  | `:undef` | the node has no such handler | |
  | `:timeout` | the call was not finished in time | |
  | `:full` | too many callers wait for this pool | |
  | `:crashed` | the program ended during the call | `reason` |
  | `:not_connected` | the node does not run, cannot be started, or cannot be reached | |
  | `:file` | a function of `BeamBpy.Assets` cannot read or write a file | `reason` |

  The `reason` of an Erlang exception is `{:error, term}`, `{:exit, term}` or `{:throw, term}`. A handler of Blender
  that waited too long for a tool has `{:error, {:busy, sentence}}`, and one that the user has cancelled has
  `{:error, {:cancelled, sentence}}`. The `reason` of a crash is the exit status of the program, or nil if the system
  did not tell it. The `reason` of the kind `:file` is that of the module `File`, such as `:enoent`, or `:empty`.
  """

  @type kind :: :python | :erlang | :undef | :timeout | :full | :crashed | :not_connected | :file

  @type t :: %__MODULE__{
          kind: kind(),
          function: String.t() | nil,
          node: node() | nil,
          type: String.t() | nil,
          text: String.t() | nil,
          traceback: String.t() | nil,
          output: String.t() | nil,
          reason: term()
        }

  defexception [:kind, :function, :node, :type, :text, :traceback, :output, :reason]

  @doc """
  The error as a sentence. For a Python exception, its traceback follows.

      iex> error = %BeamBpy.Error{kind: :python, function: "Blender.move/4", type: "KeyError", text: "no object 'Crate'"}
      iex> Exception.message(error)
      "Blender.move/4 raised KeyError: no object 'Crate'"
  """
  @impl true
  def message(%__MODULE__{kind: :python} = error) do
    sentence = "#{subject(error)} raised #{error.type}: #{error.text}"
    if frames?(error.traceback), do: sentence <> "\n\n" <> error.traceback, else: sentence
  end

  def message(%__MODULE__{kind: :erlang, text: nil} = error) do
    "#{subject(error)} raised #{inspect(error.reason)}"
  end

  def message(%__MODULE__{text: text} = error) do
    if error.function, do: "#{subject(error)}: #{text}", else: text
  end

  # Without frames, as for wrong arguments, a traceback only repeats the sentence.
  defp frames?(traceback),
    do: is_binary(traceback) and String.starts_with?(traceback, "Traceback")

  defp subject(%{function: nil}), do: "the call"
  defp subject(%{function: function, node: nil}), do: function
  defp subject(%{function: function, node: node}), do: "#{function} on #{node}"
end
