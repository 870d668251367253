defmodule BeamBpy.Application do
  @moduledoc false
  use Application

  alias BeamBpy.Group.Members
  alias BeamBpy.Pool.Load

  @impl true
  def start(_type, _args) do
    Load.create()
    Members.create()

    children = [
      Members.scope(),
      Members,
      {DynamicSupervisor, name: BeamBpy.Subscriptions, strategy: :one_for_one}
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: BeamBpy.Supervisor)
  end
end
