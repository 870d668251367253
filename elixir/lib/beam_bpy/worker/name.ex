defmodule BeamBpy.Worker.Name do
  @moduledoc false
  # The names of the nodes of workers.

  @doc """
  The name of a node, without its host.

  Every BEAM of a machine registers at the same epmd, and the name of this BEAM is unique there. So a worker has the
  name of this BEAM in its own.
  """
  @spec default(term()) :: String.t()
  def default(nil), do: default(System.unique_integer([:positive]))
  def default(name), do: join([text(name), text(own())])

  @doc "The name of a worker of a pool: the same for each Blender that has this number."
  @spec of_pool(term(), pos_integer()) :: String.t()
  def of_pool(pool, number), do: join([text(pool), Integer.to_string(number), text(own())])

  @doc """
  The host of the nodes of workers. They run on this machine.

  A node with a long name reaches any other long name, so the loopback address will do. A node with a short name
  reaches only short names.
  """
  @spec host() :: String.t()
  def host do
    if :net_kernel.longnames() == false, do: host_of(node()), else: "127.0.0.1"
  end

  defp own, do: node() |> Atom.to_string() |> String.split("@") |> hd()

  defp host_of(node), do: node |> Atom.to_string() |> String.split("@") |> List.last()

  defp join(parts), do: parts |> Enum.join("_") |> String.slice(0, 200)

  # `MyApp.Blender` becomes `my_app_blender`.
  defp text(name) when is_binary(name),
    do: String.replace(Macro.underscore(name), ~r/[^A-Za-z0-9_-]+/, "_")

  defp text(name), do: name |> inspect() |> text() |> String.trim("_")
end
