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
      {DynamicSupervisor, name: BeamBpy.Subscriptions, strategy: :one_for_one},
      Members.scope(),
      Members
    ]

    # If the scope starts again, the members have to join it again.
    Supervisor.start_link(children, strategy: :rest_for_one, name: BeamBpy.Supervisor)
  end
end
