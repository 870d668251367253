# Builds a drop of beads in Blender, animates the beads with keyframes, and renders one frame.
#
#     BPY_BEAM_COOKIE=... elixir examples/demo.exs NODE PICTURE
#
# NODE is the node name of a Blender with the extensions Beam-BPy and Scene Handlers, such as beam_bpy@127.0.0.1.
# PICTURE is the file to write.

defmodule Blender do
  @moduledoc "Calls handlers of the node to which `connect/2` has connected."

  def connect(node, cookie) do
    {:ok, _} = Node.start(:"demo_#{System.pid()}@127.0.0.1")
    Node.set_cookie(cookie)
    Node.connect(node) || raise "cannot connect to #{node}: check that it runs, and that BPY_BEAM_COOKIE is its cookie"
    Application.put_env(:demo, :node, node)
  end

  def call(function, arguments, timeout \\ 10_000) do
    :erpc.call(Application.fetch_env!(:demo, :node), Scene, function, arguments, timeout)
  end
end

defmodule Drop do
  @moduledoc "The drop: beads on a surface of revolution. Each bead is turned by the golden angle from the last."

  @golden_angle :math.pi() * (3 - :math.sqrt(5))
  @width 1.22
  @height 2.45
  @lift 2.62
  @steps 4000

  @doc "The places of `count` beads, from the bottom to the tip: `{position, distance to the next bead, share of the height}`."
  def places(count) do
    strips = strips()
    area = strips |> Enum.map(&elem(&1, 2)) |> Enum.sum()

    {places, _} =
      Enum.map_reduce(0..(count - 1), {strips, 0.0}, fn i, {rest, below} ->
        {rest, below} = climb(rest, below, (i + 0.5) / count * area)
        {radius, z, _} = hd(rest)
        angle = i * @golden_angle
        position = [radius * :math.cos(angle), radius * :math.sin(angle), z]
        {{position, :math.sqrt(area / count), (z - @lift + @height) / (2 * @height)}, {rest, below}}
      end)

    places
  end

  # Thin rings of the surface, from the bottom to the tip: radius, height and area of each.
  defp strips do
    for step <- 0..(@steps - 1) do
      {r0, z0} = profile(step / @steps)
      {r1, z1} = profile((step + 1) / @steps)
      length = :math.sqrt((r1 - r0) ** 2 + (z1 - z0) ** 2)
      {(r0 + r1) / 2, (z0 + z1) / 2, :math.pi() * (r0 + r1) * length}
    end
  end

  defp profile(share) do
    t = :math.pi() * (share - 0.5)
    {@width * (1 - :math.sin(t)) * :math.cos(t), @lift + @height * :math.sin(t)}
  end

  defp climb([{_, _, strip} | [_ | _] = rest], below, target) when below + strip < target,
    do: climb(rest, below + strip, target)

  defp climb(strips, below, _target), do: {strips, below}
end

defmodule Demo do
  @beads 420
  @frames 120
  # The frame of the picture: the lower beads have reached their places, and the upper beads still move.
  @moment 82
  @palette ~w(#2B0B5E #43178A #5B2BB5 #7A3FD0 #A04BE0 #C24FD8 #8F6BEA #4F8CF0 #22B4E6 #18D6CF #54F0C4)

  def run([node, picture]) do
    cookie = System.get_env("BPY_BEAM_COOKIE", "beam_bpy_cookie")
    Blender.connect(String.to_atom(node), String.to_atom(cookie))
    say("Connected to #{node}, as #{node()}.")
    clear()
    stage()
    beads()
    shoot(picture)
  end

  def run(_), do: raise("usage: elixir examples/demo.exs NODE PICTURE")

  defp clear do
    names = Blender.call(:list_objects, [])
    say("The scene holds #{Enum.join(names, ", ")}. Deleting them.")
    Enum.each(names, &Blender.call(:delete_object, [&1]))
  end

  defp stage do
    say("Making the floor, the ripples, the lights and the camera.")
    Blender.call(:create_primitive, ["plane", "Floor", %{size: 4000}])
    Blender.call(:set_material, ["Floor", %{base_color: "#1B1038", roughness: 0.38}])

    for {radius, index} <- Enum.with_index([1.15, 1.95, 2.95, 4.15, 5.6]), do: ripple(radius, index)

    Blender.call(:set_world, [%{color: "#2A1A58", strength: 0.5}])
    light("Key", [-5, -7, 9], 1300, "#FFF2E8", 4)
    light("Rim", [7, 6, 7], 1700, "#38E8DA", 4)
    light("Back", [-8, 7, 5], 1700, "#A24BFF", 5)

    Blender.call(:create_camera, [
      "Camera",
      %{location: [0, -16, 6.6], look_at: [0, 0, 2.95], lens: 50, fstop: 1.6, focus: [0, -1.3, 2.2]}
    ])
  end

  defp ripple(radius, index) do
    name = "Ripple #{index}"
    Blender.call(:create_primitive, ["torus", name, %{size: 2 * radius, segments: 96, thickness: 0.05, smooth: true}])
    glow = 2.4 / (index + 1)
    Blender.call(:set_material, [name, %{base_color: "#3A1D7A", roughness: 0.2, emission: "#5A38FF", emission_strength: glow}])
  end

  defp light(name, location, energy, color, size) do
    Blender.call(:create_light, ["area", name, %{location: location, energy: energy, color: color, size: size, look_at: [0, 0, 2.4]}])
  end

  defp beads do
    say("Making #{@beads} beads, each with its keyframes.")
    {time, _} = :timer.tc(fn -> Drop.places(@beads) |> Enum.with_index() |> Enum.each(&bead/1) end)
    say("Made #{@beads * 7} calls in #{Float.round(time / 1.0e6, 1)} s.")
  end

  defp bead({{[x, y, z] = home, spacing, share}, index}) do
    name = "Bead #{index}"
    size = spacing * (1.02 + 0.12 * :math.sin(index * 2.4))
    Blender.call(:create_primitive, ["uv_sphere", name, %{size: size, segments: 40, smooth: true}])
    Blender.call(:set_material, [name, look(share, index)])

    # The bead moves from a wide spiral above, over a narrower spiral, to its place. Lower beads arrive earlier.
    arrival = 12 + round(share * (@frames - 24))
    start = max(arrival - 44, 1)
    Blender.call(:keyframe_insert, [name, "location", start, swirl(x, y, z, 1.5, 3.4, 2.2)])
    Blender.call(:keyframe_insert, [name, "location", arrival - 20, swirl(x, y, z, 0.55, 1.7, 0.8)])
    Blender.call(:keyframe_insert, [name, "location", arrival, home])
    Blender.call(:keyframe_insert, [name, "scale", start, [0.3, 0.3, 0.3]])
    Blender.call(:keyframe_insert, [name, "scale", arrival, [1, 1, 1]])
  end

  # The position (x, y, z), turned around the z axis by `turn` radians, `wider` metres further out, `higher` metres up.
  defp swirl(x, y, z, turn, wider, higher) do
    angle = :math.atan2(y, x) + turn
    radius = :math.sqrt(x * x + y * y) + wider
    [radius * :math.cos(angle), radius * :math.sin(angle), z + higher]
  end

  defp look(share, index) when rem(index, 11) == 5 do
    %{material: "Glow #{shade(share)}", base_color: color(share), emission: color(share), emission_strength: 2.2}
  end

  defp look(share, _index) do
    %{material: "Bead #{shade(share)}", base_color: color(share), roughness: 0.18, metallic: 0.0, coat: 1.0, coat_roughness: 0.05}
  end

  defp color(share), do: Enum.at(@palette, shade(share))
  defp shade(share), do: min(trunc(share * length(@palette)), length(@palette) - 1)

  defp shoot(picture) do
    Blender.call(:set_property, [~s(scenes["Scene"].frame_end), @frames])
    # Glowing materials should be visible, but not light the scene: to sample all their triangles as lights would take
    # most of the time.
    for name <- glowing() do
      Blender.call(:set_property, [~s(materials["#{name}"].cycles.emission_sampling), "NONE"])
    end

    # Four bounces are enough here. With adaptive sampling, pixels with little noise get no more samples.
    Blender.call(:set_property, [~s(scenes["Scene"].cycles.max_bounces), 4])
    Blender.call(:set_property, [~s(scenes["Scene"].cycles.adaptive_threshold), 0.05])
    Blender.call(:set_property, [~s(scenes["Scene"].view_settings.look), "AgX - Medium High Contrast"])
    Blender.call(:set_frame, [@moment])
    say("Rendering frame #{@moment} of #{@frames} with Cycles.")
    options = %{engine: "cycles", width: 960, height: 540, samples: 24, denoise: true}
    {time, png} = :timer.tc(fn -> Blender.call(:render_still, [options], 240_000) end)
    say("Rendered in #{Float.round(time / 1.0e6, 1)} s. The call returned a picture of #{byte_size(png)} bytes.")
    File.write!(picture, png)
  end

  defp glowing do
    Enum.filter(Blender.call(:get_property, ["materials"]), &String.starts_with?(&1, ["Glow", "Ripple"]))
  end

  defp say(line), do: IO.puts("  elixir: " <> line)
end

Demo.run(System.argv())
