defmodule BeamBpy.ValuesInBlenderTest do
  use ExUnit.Case, async: false

  alias BeamBpy.{Curve, Error, Image, Mesh, TestRun, Worker}

  @handlers Path.expand("../support/scene.py", __DIR__)

  @moduletag :bpy

  setup_all do
    worker =
      start_supervised!(
        {Worker, command: {:python, TestRun.python()}, handlers: [@handlers], log: false}
      )

    {:ok, node} = Worker.node_of(worker)
    %{node: node, worker: worker}
  end

  @square [{0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {0, 1, 0}]

  describe "a mesh" do
    test "with all layers returns unchanged, under the same and another name", %{node: node} do
      mesh =
        Mesh.new!(
          vertices: @square ++ [{2, 2, 2}],
          faces: [[0, 1, 2], [0, 2, 3]],
          edges: [{3, 4}, {0, 1}, {1, 2}, {2, 0}, {2, 3}, {3, 0}],
          uvs: for(n <- 0..5, do: {n / 8, 1 - n / 8}),
          attributes: %{
            "Second" => %{domain: :corner, type: :float2, values: for(n <- 0..5, do: {n, 2})},
            "tint" => %{
              domain: :corner,
              type: :byte_color,
              values: List.duplicate({1, 0, 0, 1}, 6)
            },
            "warm" => %{
              domain: :point,
              type: :float_color,
              values: List.duplicate({0, 2, 0, 1}, 5)
            },
            "mass" => %{domain: :point, type: :float, values: [1, 2, 3, 4, 5.5]},
            "part" => %{domain: :face, type: :int, values: [-7, 7]},
            "tiny" => %{domain: :face, type: :int8, values: [-128, 127]},
            "flow" => %{domain: :point, type: :float_vector, values: List.duplicate({1, 2, 3}, 5)},
            "turn" => %{
              domain: :point,
              type: :quaternion,
              values: List.duplicate({1, 0, 0, 0}, 5)
            },
            "cell" => %{domain: :point, type: :int32_2d, values: List.duplicate({1, -2}, 5)},
            "word" => %{domain: :face, type: :string, values: ["a", "äö"]},
            "material_index" => %{domain: :face, type: :int, values: [0, 1]},
            "crease_edge" => %{domain: :edge, type: :float, values: [0, 1, 0, 0, 0.5, 0]},
            "sharp_face" => %{domain: :face, type: :boolean, values: [true, false]}
          },
          active: %{uv_map: "First", uv_map_render: "Second", color: "warm", color_render: "warm"},
          materials: ["Red", nil],
          vertex_groups: [
            %{name: "left", vertices: [0, 3], weights: [0.25, 1], lock_weight: true},
            %{name: "none"}
          ],
          shape_keys: [
            %{name: "Basis", vertices: @square ++ [{2, 2, 2}], relative_key: "Basis"},
            %{
              name: "Up",
              vertices: List.duplicate({0, 0, 1}, 5),
              value: 0.5,
              slider_max: 2.0,
              vertex_group: "left"
            }
          ]
        )

      assert {:ok, %{"name" => "All", "vertices" => 5, "faces" => 2, "mended" => false}} =
               Mesh.upload(mesh, node, "All")

      downloaded = BeamBpy.call!(node, :download_mesh, ["All"])
      assert downloaded |> Mesh.from_map() |> Mesh.to_map() == downloaded

      found = Mesh.download!(node, "All")
      assert %{"name" => "Copy"} = Mesh.upload!(found, node, "Copy")
      assert BeamBpy.call!(node, :download_mesh, ["Copy"]) == downloaded
      assert %{"name" => "All"} = Mesh.upload!(found, node, "All")
      assert BeamBpy.call!(node, :download_mesh, ["All"]) == downloaded

      for part <- [:vertices, :triangles, :edges, :uvs, :materials] do
        assert Map.fetch!(found, part) == Map.fetch!(mesh, part)
      end

      for {name, attribute} <- mesh.attributes do
        assert {name, attribute} == {name, found.attributes[name]}
      end

      assert found.active == mesh.active

      assert [%{name: "left", lock_weight: true, weights: weights}, %{name: "none"}] =
               found.vertex_groups

      assert weights == hd(mesh.vertex_groups).weights

      assert [%{name: "Basis"}, %{name: "Up", value: 0.5, vertex_group: "left"}] =
               found.shape_keys
    end

    for kind <- [:cube, :monkey, :cone, :uv_sphere, :plane] do
      test "of Blender, #{kind}, returns unchanged", %{node: node} do
        name = "of_blender_#{unquote(kind)}"
        ^name = BeamBpy.call!(node, :create_primitive, [unquote(kind), name, %{smooth: true}])
        map = BeamBpy.call!(node, :download_mesh, [name])
        mesh = Mesh.from_map(map)
        assert Mesh.to_map(mesh) == map
        Mesh.upload!(mesh, node, "again_" <> name)
        assert Mesh.download!(node, "again_" <> name) == mesh
      end
    end

    for seed <- 1..10 do
      test "of any size returns unchanged (seed #{seed})", %{node: node} do
        :rand.seed(:exsss, {unquote(seed), 1, 1})
        count = 3 + :rand.uniform(60)
        vertices = for _ <- 1..count, do: {:rand.uniform(), :rand.uniform(), :rand.uniform()}
        # Blender refuses a face that uses a vertex twice, and two faces with the same vertices.
        faces =
          for(_ <- 1..20, do: Enum.take_random(0..(count - 1), Enum.random(3..min(count, 6))))
          |> Enum.uniq_by(&Enum.sort/1)

        mesh = Mesh.new!(vertices: vertices, faces: faces)
        name = "random#{unquote(seed)}"
        assert %{"mended" => false} = Mesh.upload!(mesh, node, name)
        found = Mesh.download!(node, name)
        assert found.vertices == mesh.vertices
        assert Enum.to_list(Mesh.faces(found)) == faces
      end
    end

    test "the options of the handlers are passed on", %{node: node} do
      faulty = Mesh.new!(vertices: @square, triangles: [{0, 1, 2}, {0, 1, 1}])

      assert {:error, %Error{kind: :python, type: "ValueError"}} =
               Mesh.upload(faulty, node, "Faulty")

      assert_raise Error, fn -> Mesh.upload!(faulty, node, "Faulty") end

      assert {:ok, %{"faces" => 1, "mended" => true}} =
               Mesh.upload(faulty, node, "Faulty", validate: true, timeout: 60_000)

      Mesh.upload!(Mesh.new!(vertices: @square, vertex_groups: [%{name: "a"}]), node, "Grouped")
      smaller = Mesh.new!(vertices: tl(@square))
      assert {:error, %Error{kind: :python}} = Mesh.upload(smaller, node, "Grouped")
      assert {:ok, %{"vertices" => 3}} = Mesh.upload(smaller, node, "Grouped", discard: true)

      attributes = %{
        a: %{domain: :point, type: :int, values: 0..3},
        b: %{domain: :point, type: :int, values: 0..3}
      }

      Mesh.upload!(Mesh.new!(vertices: @square, attributes: attributes), node, "Layers")
      assert {:ok, mesh} = Mesh.download(node, "Layers", attributes: ["b"], evaluated: true)
      assert Map.keys(mesh.attributes) == ["b"]
    end

    test "a position that is nan can be downloaded, and is set to 0 on request", %{node: node} do
      mesh = Mesh.new!(vertices: <<0, 0, 192, 127, 1.0::float-32-little, 0::32>>)
      assert {:error, %Error{kind: :python}} = Mesh.upload(mesh, node, "Nan")
      assert {:ok, %{"mended" => true}} = Mesh.upload(mesh, node, "Nan", validate: true)
      assert Enum.to_list(Mesh.vertices(Mesh.download!(node, "Nan"))) == [{0.0, 1.0, 0.0}]
    end

    test "an object that does not exist is an error", %{node: node} do
      assert {:error, %Error{kind: :python, type: "LookupError"}} = Mesh.download(node, "Nobody")
      assert_raise Error, fn -> Mesh.download!(node, "Nobody") end
    end

    test "an unknown option is an error", %{node: node} do
      assert_raise ArgumentError, fn -> Mesh.download(node, "All", lists: true) end
    end
  end

  describe "an image" do
    for {name, channels, size} <- [
          {"grey", 1, 1},
          {"rgb", 3, 1},
          {"rgba", 4, 1},
          {"floats", 4, 4}
        ] do
      test "returns unchanged, #{name}", %{node: node} do
        {name, channels, size} = {unquote(name), unquote(channels), unquote(size)}
        :rand.seed(:exsss, {channels, size, 1})

        pixels =
          for _ <- 1..(5 * 3 * channels), into: <<>> do
            if size == 1,
              do: <<:rand.uniform(256) - 1>>,
              else: <<:rand.uniform()::float-32-little>>
          end

        image = Image.new!(5, 3, channels, pixels)
        assert {:ok, ^name} = Image.upload(image, node, name)
        found = Image.download!(node, name)

        assert {found.width, found.height, found.channels, Image.type(found)} ==
                 {5, 3, 4, Image.type(image)}

        if channels == 4, do: assert(found.pixels == pixels)

        if channels == 3,
          do: assert(Tuple.delete_at(Image.pixel(found, 4, 2), 3) == Image.pixel(image, 4, 2))

        map = BeamBpy.call!(node, :download_image, [name])
        assert Image.to_map(found) == map
        assert Image.upload!(found, node, name <> "_again") == name <> "_again"
        assert BeamBpy.call!(node, :download_image, [name <> "_again"]) == map
      end
    end

    test "settings and options are passed on", %{node: node} do
      image =
        Image.new!(1, 1, 4, <<1, 2, 3, 4>>, color_space: "Non-Color", alpha_mode: :channel_packed)

      assert {:ok, "Settings"} = Image.upload(image, node, "Settings", pack: true)
      assert Image.download!(node, "Settings") == image
      assert Image.type(Image.download!(node, "Settings", type: :float32)) == :float32
      assert {:error, %Error{kind: :python}} = Image.download(node, "Settings", type: :int16)
      assert {:error, %Error{kind: :python}} = Image.download(node, "Nobody")
      assert_raise Error, fn -> Image.download!(node, "Nobody") end
    end

    test "as a PNG file is the same image for Blender", %{node: node} do
      pixels = for y <- 0..6, x <- 0..9, into: <<>>, do: <<x * 20, y * 30, 77, 255>>
      png = Image.to_png(Image.new!(10, 7, 4, pixels))
      path = Path.join(System.tmp_dir!(), "beam_bpy_#{System.os_time()}.png")
      File.write!(path, png)
      name = BeamBpy.call!(node, :load_image, [path])
      found = Image.download!(node, name)
      File.rm!(path)
      assert {found.width, found.height, found.pixels} == {10, 7, pixels}
    end

    test "from_png/1 reads what Blender renders", %{node: node} do
      png =
        BeamBpy.call!(node, :render_still, [
          %{engine: "cycles", samples: 1, denoise: false, width: 32, height: 16}
        ])

      assert {:ok, %Image{width: 32, height: 16} = image} = Image.from_png(png)

      path = Path.join(System.tmp_dir!(), "beam_bpy_#{System.os_time()}.png")
      File.write!(path, png)
      name = BeamBpy.call!(node, :load_image, [path])
      found = Image.download!(node, name)
      File.rm!(path)

      for x <- [0, 13, 31], y <- [0, 7, 15] do
        size = min(image.channels, 3)

        assert Enum.take(Tuple.to_list(Image.pixel(image, x, y)), size) ==
                 Enum.take(Tuple.to_list(Image.pixel(found, x, y)), size)
      end
    end
  end

  describe "a curve" do
    setup %{node: node} do
      %{cube: BeamBpy.call!(node, :create_cube, ["Curved"])}
    end

    for {name, options} <- [
          linear: [],
          bezier: [
            interpolation: :bezier,
            handle_left_type: [:free, :aligned, :auto],
            handle_right_type: :free,
            handle_left: [{0, 0}, {4, 1}, {8, 2}],
            handle_right: [{2, 0.5}, {6, 1}, {12, 3}],
            extrapolation: :linear,
            auto_smoothing: :none
          ],
          elastic: [
            interpolation: [:elastic, :back, :constant],
            easing: :ease_out,
            amplitude: [1, 2, 3],
            back: [0.5, 1, 1],
            period: [1, 2, 4],
            type: :breakdown
          ]
        ] do
      test "returns unchanged, #{name}", %{node: node, cube: cube} do
        curve = Curve.new!([{1, 0.5}, {5, 1}, {9.5, -2}], unquote(Macro.escape(options)))
        assert {:ok, 3} = Curve.set(curve, node, cube, "location", 1)
        found = Curve.get!(node, cube, "location", 1)
        assert Curve.keyframes(found) == [{1.0, 0.5}, {5.0, 1.0}, {9.5, -2.0}]

        assert {found.interpolation, found.extrapolation} ==
                 {curve.interpolation, curve.extrapolation}

        map = BeamBpy.call!(node, :get_fcurve, [cube, "location", 1])
        assert Curve.to_map(found) == map
        assert Curve.set!(found, node, cube, "scale", 0, timeout: 60_000) == 3
        assert Curve.get(node, cube, "scale", 0) == {:ok, found}
      end
    end

    test "an error of Blender is an error", %{node: node, cube: cube} do
      assert {:error, %Error{kind: :python}} = Curve.get(node, cube, "delta_scale", 0)
      assert_raise Error, fn -> Curve.get!(node, cube, "delta_scale", 0) end
      curve = Curve.new!([{1, 0}], interpolation: :straight)
      assert {:error, %Error{kind: :python}} = Curve.set(curve, node, cube, "location", 0)
      assert_raise Error, fn -> Curve.set!(curve, node, cube, "location", 0) end
    end
  end

  test "the code of the guide runs", %{worker: worker} do
    guide = File.read!(Path.expand("../../guides/values.md", __DIR__))
    blocks = for [_, code] <- Regex.scan(~r/^```elixir\n(.*?)^```$/ms, guide), do: code
    assert length(blocks) == 10
    Code.eval_string(Enum.join(blocks, "\n"), [blender: worker], file: "guides/values.md")
  end
end
