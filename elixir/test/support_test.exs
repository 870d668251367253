defmodule BeamBpy.SupportTest do
  use BeamBpy.Case, async: true

  test "the tests are a node with a long name" do
    assert Node.alive?()
    assert :net_kernel.longnames()
  end

  test "another node has the code of the project" do
    node = start_peer()
    assert node in Node.list()
    assert :erpc.call(node, BeamBpy.Error, :__struct__, []) == %BeamBpy.Error{}
    os_pid = os_pid(node)
    assert os_pid in Enum.map(BeamBpy.TestRun.programs(), &elem(&1, 0))
    OsProcess.kill(os_pid)
    assert_ended(os_pid)
    eventually(fn -> node not in Node.list() end)
  end

  test "a worker in Python answers", %{folder: folder} do
    python = """
    def register(server):
        server.expose(len, name="count")
    """

    file = handlers_file(folder, python)
    name = unique_node()
    args = ["-m", "beam_bpy.cli", "serve", "--handlers", file, "--node", to_string(name)]
    env = [{~c"BPY_BEAM_COOKIE", to_charlist(Node.get_cookie())}]
    port = Port.open({:spawn_executable, python()}, [:binary, args: args, env: env])
    {:os_pid, os_pid} = Port.info(port, :os_pid)
    eventually(fn -> Node.connect(name) end)
    assert BeamBpy.call(name, :count, [[1, 2, 3]]) == {:ok, 3}
    OsProcess.kill(os_pid, "TERM")
    assert_ended(os_pid)
  end

  @tag :blender
  test "a Blender program with the extension answers", %{folder: folder} do
    python = """
    import bpy


    def register(server):
        server.expose(lambda: list(bpy.data.objects.keys()), name="names")
    """

    file = handlers_file(folder, python)
    name = unique_node("blender")
    args = ~w(--background --command beam_bpy serve --handlers #{file} --node #{name})
    env = [{~c"BPY_BEAM_COOKIE", to_charlist(Node.get_cookie())}]
    port = Port.open({:spawn_executable, blender()}, [:binary, args: args, env: env])
    {:os_pid, os_pid} = Port.info(port, :os_pid)
    eventually(fn -> Node.connect(name) end)
    assert {:ok, names} = BeamBpy.call(name, :names)
    assert "Cube" in names
    OsProcess.kill(os_pid)
    assert_ended(os_pid)
  end
end
