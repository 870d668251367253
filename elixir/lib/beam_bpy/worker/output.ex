defmodule BeamBpy.Worker.Output do
  @moduledoc false
  # Reads the lines that the program of a worker prints: the line of a node that is ready, and Blender's progress.

  @type progress :: %{
          required(:frame) => non_neg_integer(),
          optional(:sample) => non_neg_integer(),
          optional(:samples) => pos_integer()
        }

  @doc """
  The meaning of a line.

      iex> BeamBpy.Worker.Output.parse("beam_bpy_1@127.0.0.1:45123 is ready")
      {:ready, "beam_bpy_1@127.0.0.1"}
      iex> BeamBpy.Worker.Output.parse("Fra:7 Mem:25.43M (Peak 26M) | Time:00:00.35 | Scene, ViewLayer | Sample 12/128")
      {:progress, %{frame: 7, sample: 12, samples: 128}}
      iex> BeamBpy.Worker.Output.parse("Saved: '/tmp/0001.png'")
      :text
  """
  @spec parse(String.t()) :: {:ready, String.t()} | {:progress, progress()} | :text
  def parse(line) do
    cond do
      captures = Regex.run(~r/^(\S+@\S+):\d+ is ready$/, line, capture: :all_but_first) ->
        {:ready, hd(captures)}

      captures = Regex.run(~r/^Fra:\s*(\d+)\b(.*)$/, line, capture: :all_but_first) ->
        [frame, rest] = captures
        {:progress, Map.merge(%{frame: String.to_integer(frame)}, samples(rest))}

      true ->
        :text
    end
  end

  @doc """
  A line as text. Bytes that are not UTF-8, as in names of files, are read as Latin-1.

      iex> BeamBpy.Worker.Output.to_text(<<"caf", 0xE9>>)
      "café"
  """
  @spec to_text(binary()) :: String.t()
  def to_text(line) do
    if String.valid?(line), do: line, else: :unicode.characters_to_binary(line, :latin1)
  end

  # Bytes. What follows in the same line is dropped.
  @longest_line 65_536

  @doc "Adds a part of a line to its beginning. A program that never ends its line does not fill the memory."
  @spec append(binary(), binary()) :: binary()
  def append(line, part) do
    room = max(@longest_line - byte_size(line), 0)
    if byte_size(part) <= room, do: line <> part, else: line <> cut(part, room)
  end

  # Not in the middle of a character, which is a byte of the form 11xxxxxx and some of the form 10xxxxxx.
  defp cut(part, size) do
    case part do
      <<kept::binary-size(size), 0b10::2, _rest::bitstring>> when size > 0 -> cut(kept, size - 1)
      <<kept::binary-size(size), _rest::binary>> -> kept
    end
  end

  defp samples(text) do
    case Regex.run(~r/\b(?:Sample|Rendering)\s+(\d+)\s*\/\s*(\d+)/, text, capture: :all_but_first) do
      [sample, samples] ->
        %{sample: String.to_integer(sample), samples: String.to_integer(samples)}

      nil ->
        %{}
    end
  end
end
