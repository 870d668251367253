defmodule MyAppWeb do
  @moduledoc """
  A stand-in for the module of a Phoenix application, with the functions that the guides use.

  A socket is a map with `:assigns`, `:connected`, and `:entries`: the uploads, as `{path, client_name}`.
  """

  defmacro __using__(:live_view) do
    quote do
      @behaviour Phoenix.LiveView
      import MyAppWeb
    end
  end

  defmacro __using__(:controller), do: quote(do: import(MyAppWeb))

  def connected?(socket), do: socket.connected
  def assign(socket, key, value), do: put_in(socket.assigns[key], value)

  def allow_upload(socket, name, options) when is_atom(name) do
    [] = Keyword.keys(options) -- [:accept, :max_entries, :max_file_size]
    put_in(socket.assigns[:uploads], %{name => options})
  end

  # As in LiveView, the file of an upload exists only while the function runs.
  def consume_uploaded_entries(socket, name, function) do
    true = is_map_key(socket.assigns.uploads, name)

    for {path, client_name} <- socket.entries do
      {:ok, value} = function.(%{path: path}, %{client_name: client_name})
      File.rm!(path)
      value
    end
  end

  defmacro sigil_H({:<<>>, _meta, [text]}, _modifiers),
    do: quote(do: {unquote(text), var!(assigns)})

  def put_resp_content_type(conn, type), do: Map.put(conn, :type, type)

  def send_file(conn, status, path),
    do: Map.merge(conn, %{status: status, body: File.read!(path)})
end

defmodule Phoenix.LiveView do
  @moduledoc false
  @callback mount(map(), map(), map()) :: {:ok, map()}
  @callback handle_event(String.t(), map(), map()) :: {:noreply, map()}
  @callback handle_info(term(), map()) :: {:noreply, map()}
  @callback render(map()) :: term()
end

defmodule Phoenix.PubSub do
  @moduledoc "A stand-in: the messages go to the processes of this node that have subscribed."

  def subscribe(pubsub, topic), do: :pg.join(__MODULE__, {pubsub, topic}, self())

  def broadcast(pubsub, topic, message) do
    for pid <- :pg.get_local_members(__MODULE__, {pubsub, topic}), do: send(pid, message)
    :ok
  end
end

defmodule Oban.Job do
  @moduledoc false
  defstruct [:worker, :args, attempt: 1]
end

defmodule Oban do
  @moduledoc "A stand-in: `insert` sends the job to the calling process, as `{:job, job}`."

  def insert(%Oban.Job{} = job) do
    send(self(), {:job, job})
    {:ok, job}
  end
end

defmodule Oban.Worker do
  @moduledoc false
  @callback perform(%Oban.Job{}) ::
              :ok
              | {:ok, term()}
              | {:error, term()}
              | {:cancel, term()}
              | {:snooze, pos_integer()}

  defmacro __using__(options) do
    [] = Keyword.keys(options) -- [:queue, :max_attempts]

    quote do
      @behaviour Oban.Worker

      # A queue keeps the arguments as JSON.
      def new(args) do
        args = Map.new(args, fn {key, value} when is_binary(value) -> {to_string(key), value} end)
        %Oban.Job{worker: __MODULE__, args: args}
      end
    end
  end
end
