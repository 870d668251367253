defmodule Kino do
  @moduledoc """
  A stand-in for the library Kino, with the functions that the notebooks of this project use.

  The process that runs the code of a notebook gets a message `{:kino, shown}` for each thing that the notebook shows.
  """

  defmodule Input do
    @moduledoc false
    defstruct [:label, :options]

    def range(label, options \\ []) when is_binary(label) do
      [] = Keyword.keys(options) -- [:min, :max, :step, :default, :debounce]
      %__MODULE__{label: label, options: options}
    end

    @doc "A user moves a slider, to which a process listens."
    def change({:listens, input, pid}, value) do
      true = value >= input.options[:min] and value <= input.options[:max]
      send(pid, {:change, input, %{type: :change, origin: "user", value: value}})
    end
  end

  def render(term) do
    send(self(), {:kino, term})
    term
  end

  def start_child(spec), do: DynamicSupervisor.start_child(supervisor(), spec)

  def start_child!(spec) do
    {:ok, pid} = start_child(spec)
    pid
  end

  @doc "Calls a function for each event of an input. The test sends the events, see `Kino.Input.change/2`."
  def listen(%Kino.Input{} = input, function) when is_function(function, 1) do
    {:ok, pid} = start_child({Task, fn -> serve(input, function) end})
    send(self(), {:kino, {:listens, input, pid}})
    :ok
  end

  defp serve(input, function) do
    receive do
      {:change, ^input, event} -> function.(event)
    end

    serve(input, function)
  end

  # Livebook has one supervisor for each notebook. Here, the test starts it, and puts it into its dictionary.
  defp supervisor, do: Process.get(Kino)

  defmodule Markdown do
    @moduledoc false
    def new(text) when is_binary(text), do: {:markdown, text}
  end

  defmodule Text do
    @moduledoc false
    def new(text) when is_binary(text), do: {:text, text}
  end

  defmodule Image do
    @moduledoc false
    def new(<<0x89, "PNG", _rest::binary>> = content, :png), do: {:image, content}
    def new(<<0xFF, 0xD8, _rest::binary>> = content, :jpeg), do: {:image, content}
  end

  defmodule Layout do
    @moduledoc false
    def grid(terms, options \\ []) when is_list(terms) do
      [] = Keyword.keys(options) -- [:columns, :boxed, :gap]
      {:grid, terms}
    end
  end

  defmodule Download do
    @moduledoc false
    def new(content, options) when is_function(content, 0),
      do: {:download, options[:filename], content}
  end

  defmodule Frame do
    @moduledoc false
    defstruct [:owner]
    def new(_options \\ []), do: %__MODULE__{owner: self()}
    def render(frame, term), do: show(frame, term)
    def append(frame, term), do: show(frame, term)
    def clear(frame), do: show(frame, nil)

    defp show(frame, term) do
      send(frame.owner, {:kino, {:frame, term}})
      :ok
    end
  end
end
