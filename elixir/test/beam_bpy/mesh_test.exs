defmodule BeamBpy.MeshTest do
  use ExUnit.Case, async: true

  alias BeamBpy.Mesh

  doctest Mesh

  @infinite <<0, 0, 128, 127>>
  @nan <<0, 0, 192, 127>>
  @one <<1.0::float-32-little>>
  @square [{0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {0, 1, 0}]

  defp random_mesh(seed) do
    :rand.seed(:exsss, {seed, 2, 3})
    count = 3 + :rand.uniform(40)
    positions = for _ <- 1..count, do: {coordinate(), coordinate(), coordinate()}
    largest = Enum.random([3, 4, 7])

    faces =
      for _ <- 1..Enum.random(0..30)//1,
          do: for(_ <- 1..Enum.random(3..largest), do: Enum.random(0..(count - 1)))

    {positions, faces}
  end

  # A number that float32 holds exactly.
  defp coordinate, do: (:rand.uniform(2_000_001) - 1_000_001) / 1024

  defp message(parts) do
    assert {:error, %ArgumentError{message: message}} = Mesh.new(parts)
    message
  end

  describe "new/1 and the readers" do
    for seed <- 1..40 do
      test "return the numbers that were given (seed #{seed})" do
        {positions, faces} = random_mesh(unquote(seed))
        mesh = Mesh.new!(vertices: positions, faces: faces)
        assert Enum.to_list(Mesh.vertices(mesh)) == positions
        assert Enum.to_list(Mesh.faces(mesh)) == faces
        assert Mesh.vertex_count(mesh) == length(positions)
        assert Mesh.face_count(mesh) == length(faces)
        assert mesh |> Mesh.to_map() |> Mesh.from_map() == mesh
        assert Mesh.new!(Map.from_struct(mesh)) == mesh
        assert Mesh.map_vertices(mesh, & &1) == mesh

        [xs, ys, zs] = positions |> Enum.map(&Tuple.to_list/1) |> Enum.zip_with(& &1)

        assert Mesh.bounds(mesh) ==
                 {{Enum.min(xs), Enum.min(ys), Enum.min(zs)},
                  {Enum.max(xs), Enum.max(ys), Enum.max(zs)}}
      end
    end

    test "choose the form of faces that Blender returns" do
      assert %{triangles: <<_::96>>, quads: nil} =
               Mesh.new!(vertices: @square, faces: [[0, 1, 2]])

      assert %{quads: <<_::128>>, triangles: nil} =
               Mesh.new!(vertices: @square, faces: [{0, 1, 2, 3}])

      assert %{loop_vertices: <<_::224>>, face_sizes: <<3::32-little, 4::32-little>>} =
               Mesh.new!(vertices: @square, faces: [[0, 1, 2], [0, 1, 2, 3]])
    end

    test "accept tuples, lists, numbers, streams and ranges" do
      expected = Mesh.new!(vertices: [{0, 1, 2}, {3, 4, 5}]).vertices

      for vertices <- [
            [[0, 1, 2], [3, 4, 5]],
            [0, 1, 2, 3, 4, 5],
            0..5,
            Stream.map(0..5, &(&1 * 1.0))
          ] do
        assert Mesh.new!(vertices: vertices).vertices == expected
      end
    end

    # If each element copied the binary so far, these would copy hundreds of gigabytes.
    test "accept long lists" do
      positions = for n <- 1..100_000, do: {n, 0.5, -n}
      faces = for n <- 0..99_997, do: [n, n + 1, n + 2]
      mesh = Mesh.new!(vertices: positions, faces: faces)
      assert Mesh.bounds(mesh) == {{1.0, 0.5, -100_000.0}, {100_000.0, 0.5, -1.0}}
      assert Enum.to_list(Mesh.faces(mesh)) == faces
      assert mesh |> Mesh.map_vertices(& &1) |> Mesh.vertex_count() == 100_000
    end

    test "a binary is not copied" do
      binary = :binary.copy(@one, 3 * 1000)
      assert :erts_debug.same(Mesh.new!(vertices: binary).vertices, binary)
      assert :erts_debug.same(Mesh.to_map(Mesh.new!(vertices: binary))["vertices"], binary)
    end

    test "a mesh without vertices and faces" do
      mesh = Mesh.new!(vertices: [])
      assert {Mesh.vertex_count(mesh), Mesh.face_count(mesh), Mesh.bounds(mesh)} == {0, 0, nil}
      assert {Enum.to_list(Mesh.vertices(mesh)), Enum.to_list(Mesh.faces(mesh))} == {[], []}
      assert Mesh.map_vertices(mesh, fn _ -> flunk("there is no vertex") end) == mesh
    end
  end

  describe "new/1 with layers" do
    @types [
      {:float, [1.5, 2, 3, 4]},
      {:int, [1, -2, 3, 4]},
      {:int8, [-128, 127, 0, 1]},
      {:boolean, [true, false, 1, 0]},
      {:float2, [{1, 2}, {3, 4}, {5, 6}, {7, 8}]},
      {:float_vector, List.duplicate({1, 2, 3}, 4)},
      {:float_color, List.duplicate({1, 0, 0, 1}, 4)},
      {:byte_color, List.duplicate([1, 0, 0, 1], 4)},
      {:int16_2d, List.duplicate({-32_768, 32_767}, 4)},
      {:int32_2d, List.duplicate({-2_147_483_648, 2_147_483_647}, 4)},
      {:quaternion, List.duplicate({1, 0, 0, 0}, 4)},
      {:float4x4, List.duplicate(Enum.to_list(1..16), 4)},
      {:string, ["a", "", "äö", <<255>>]}
    ]

    for {type, values} <- @types, domain <- [:point, :edge, :corner, :face] do
      test "#{type} for each #{domain}" do
        parts = [
          vertices: @square,
          faces: for(_ <- 1..4, do: [0, 1, 2]),
          edges: [{0, 1}, {1, 2}, {2, 3}, {3, 0}]
        ]

        values = unquote(Macro.escape(values))
        values = if unquote(domain) == :corner, do: values ++ values ++ values, else: values
        attribute = %{domain: unquote(domain), type: unquote(type), values: values}
        mesh = Mesh.new!(parts ++ [attributes: [layer: attribute]])
        assert %{domain: domain, type: type, values: packed} = mesh.attributes["layer"]
        assert {domain, type} == {unquote("#{domain}"), unquote("#{type}")}
        assert mesh |> Mesh.to_map() |> Mesh.from_map() == mesh

        short = if is_list(packed), do: tl(packed), else: binary_part(packed, 0, 0)

        assert message(parts ++ [attributes: %{"layer" => %{attribute | values: short}}]) =~
                 "layer"
      end
    end

    test "keys and words are atoms or binaries" do
      mesh =
        Mesh.new!(%{
          "vertices" => @square,
          "active" => [color: :tint, uv_map: nil],
          "order" => [:tint],
          "materials" => [:Red, nil, "Blue"],
          "attributes" => %{
            tint: %{"domain" => "point", "type" => :float_color, "values" => <<0::512>>}
          },
          "vertex_groups" => [
            %{name: :left, vertices: [0, 1], weights: [0.5, 1], lock_weight: true}
          ],
          "shape_keys" => [[name: "Basis", vertices: @square, value: 0.5]]
        })

      assert mesh.active == %{color: "tint", uv_map: nil}
      assert mesh.order == ["tint"]
      assert mesh.materials == ["Red", nil, "Blue"]

      assert mesh.attributes == %{
               "tint" => %{domain: "point", type: "float_color", values: <<0::512>>}
             }

      assert [%{name: "left", vertices: <<0::32, 1::32-little>>, lock_weight: true}] =
               mesh.vertex_groups

      assert [%{name: "Basis", vertices: <<_::384>>, value: 0.5}] = mesh.shape_keys
      assert mesh |> Mesh.to_map() |> Mesh.from_map() == mesh
    end
  end

  @faulty [
    {"no vertices", []},
    {"no map", 5},
    {"a list", [1, 2]},
    {"an unknown part", [vertices: [], colours: []]},
    {"an unknown part that is nil", [vertices: [], colours: nil]},
    {"faces that are a number", [vertices: [], faces: 5]},
    {"faces that are a binary", [vertices: [], faces: <<0::96>>]},
    {"too few bytes", [vertices: <<1, 2, 3>>]},
    {"two numbers for a position", [vertices: [{1, 2}]]},
    {"four numbers for a position", [vertices: [{1, 2, 3}, {1, 2, 3, 4}]]},
    {"numbers for two thirds of a position", [vertices: [1, 2]]},
    {"a text in place of a number", [vertices: [{0, 0, "0"}]]},
    {"nil in place of a number", [vertices: [{0, 0, nil}]]},
    {"a number that float32 cannot hold", [vertices: [{0, 0, 1.0e39}]]},
    {"an integer that float32 cannot hold", [vertices: [{0, 0, -Bitwise.bsl(1, 200)}]]},
    {"an atom in place of numbers", [vertices: :many]},
    {"a map in place of numbers", [vertices: %{x: 1}]},
    {"a fraction in an index", [vertices: @square, triangles: [{0, 1, 1.5}]]},
    {"an index that int32 cannot hold", [vertices: @square, triangles: [{0, 1, 2_147_483_648}]]},
    {"an index without a vertex", [vertices: @square, quads: [{0, 1, 2, 4}]]},
    {"a negative index", [vertices: @square, quads: [{0, 1, 2, -1}]]},
    {"an edge without a vertex", [vertices: @square, edges: [{0, 4}]]},
    {"two forms of faces", [vertices: @square, triangles: [{0, 1, 2}], quads: [{0, 1, 2, 3}]]},
    {"faces and triangles", [vertices: @square, triangles: [{0, 1, 2}], faces: [[0, 1, 2]]]},
    {"faces that are no lists", [vertices: @square, faces: [0, 1, 2]]},
    {"a face of two vertices", [vertices: @square, faces: [[0, 1]]]},
    {"loop_vertices without face_sizes", [vertices: @square, loop_vertices: [0, 1, 2]]},
    {"face_sizes without loop_vertices", [vertices: @square, face_sizes: [3]]},
    {"face_sizes with another sum",
     [vertices: @square, loop_vertices: [0, 1, 2], face_sizes: [4]]},
    {"a negative face size",
     [vertices: @square, loop_vertices: [0, 1, 2, 3], face_sizes: [7, -3]]},
    {"too few uvs", [vertices: @square, triangles: [{0, 1, 2}], uvs: [{0, 0}, {1, 0}]]},
    {"too many normals", [vertices: @square, normals: [{0, 0, 1}]]},
    {"materials that are no list", [vertices: @square, materials: "Red"]},
    {"a material that is no name", [vertices: @square, materials: [5]]},
    {"an unknown active layer", [vertices: @square, active: %{uv: "UVMap"}]},
    {"an attribute without a type",
     [vertices: [], attributes: [a: %{domain: :point, values: []}]]},
    {"an attribute without values",
     [vertices: [], attributes: [a: %{domain: :point, type: :int}]]},
    {"an attribute with an unknown type",
     [vertices: [], attributes: [a: %{domain: :point, type: :double, values: []}]]},
    {"an attribute with an unknown domain",
     [vertices: [], attributes: [a: %{domain: :vertex, type: :int, values: []}]]},
    {"an attribute of edges without edges",
     [vertices: [], attributes: [a: %{domain: :edge, type: :int, values: []}]]},
    {"an int8 that is too large",
     [vertices: [{0, 0, 0}], attributes: [a: %{domain: :point, type: :int8, values: [128]}]]},
    {"a boolean that is none",
     [vertices: [{0, 0, 0}], attributes: [a: %{domain: :point, type: :boolean, values: [nil]}]]},
    {"texts that are no binaries",
     [vertices: [{0, 0, 0}], attributes: [a: %{domain: :point, type: :string, values: [:a]}]]},
    {"a vertex group without a name", [vertices: @square, vertex_groups: [%{vertices: []}]]},
    {"a vertex group without a weight for each vertex",
     [vertices: @square, vertex_groups: [%{name: "a", vertices: [0, 1], weights: [1]}]]},
    {"a vertex group with an index without a vertex",
     [vertices: @square, vertex_groups: [%{name: "a", vertices: [4], weights: [1]}]]},
    {"a shape key without positions", [vertices: @square, shape_keys: [%{name: "a"}]]},
    {"a shape key with too few positions",
     [vertices: @square, shape_keys: [%{name: "a", vertices: [{0, 0, 0}]}]]}
  ]

  describe "new/1 refuses" do
    for {fault, parts} <- @faulty do
      test fault do
        parts = unquote(Macro.escape(parts))
        assert String.length(message(parts)) > 10
        assert_raise ArgumentError, fn -> Mesh.new!(parts) end
      end
    end

    test "an index, wherever it is in the binary" do
      for place <- 0..8, wrong <- [9, -1, 2_147_483_647, -2_147_483_648] do
        indices = List.replace_at(Enum.to_list(0..8), place, wrong)
        message = message(vertices: for(n <- 0..8, do: {n, 0, 0}), triangles: indices)
        assert message =~ "vertex #{wrong},"
      end
    end
  end

  describe "positions that no float of Elixir can hold" do
    for {name, number} <- [nan: @nan, infinite: @infinite], place <- [0, 1, 2, 7, 8] do
      test "#{name} as number #{place}" do
        place = unquote(place)
        numbers = List.duplicate(@one, 9) |> List.replace_at(place, unquote(number))
        mesh = Mesh.new!(vertices: IO.iodata_to_binary(numbers))
        assert Mesh.from_map(Mesh.to_map(mesh)) == mesh

        for read <- [
              &Enum.to_list(Mesh.vertices(&1)),
              &Mesh.bounds/1,
              &Mesh.map_vertices(&1, fn at -> at end)
            ] do
          error = assert_raise ArgumentError, fn -> read.(mesh) end
          assert error.message =~ "vertex #{div(place, 3)} "
        end
      end
    end

    test "the stream returns the positions before it" do
      mesh = Mesh.new!(vertices: :binary.copy(@one, 3) <> :binary.copy(@nan, 3))
      assert Enum.take(Mesh.vertices(mesh), 1) == [{1.0, 1.0, 1.0}]
    end

    test "positions of shape keys" do
      mesh =
        Mesh.new!(
          vertices: [{0, 0, 0}],
          shape_keys: [%{name: "a", vertices: :binary.copy(@nan, 3)}]
        )

      assert_raise ArgumentError, fn -> Mesh.map_vertices(mesh, & &1) end
    end
  end

  describe "map_vertices/2" do
    test "moves the vertices and the shape keys" do
      mesh = Mesh.new!(vertices: @square, shape_keys: [%{name: "Basis", vertices: @square}])
      moved = Mesh.map_vertices(mesh, fn {x, y, z} -> {x + 1, y, z - 1} end)
      assert Mesh.bounds(moved) == {{1.0, 0.0, -1.0}, {2.0, 1.0, -1.0}}
      assert [%{vertices: vertices}] = moved.shape_keys
      assert vertices == moved.vertices
    end

    for wrong <- [{1, 2}, {1, 2, 3, 4}, [1, 2, 3], nil, {1, 2, nil}, {1.0e39, 0, 0}] do
      test "refuses a function that returns #{inspect(wrong)}" do
        mesh = Mesh.new!(vertices: @square)
        wrong = unquote(Macro.escape(wrong))

        error =
          assert_raise ArgumentError, fn ->
            Mesh.map_vertices(mesh, fn {x, y, _z} = at -> if x + y == 2, do: wrong, else: at end)
          end

        assert error.message =~ "vertex 2 "
      end
    end
  end

  describe "a struct that the user has changed" do
    test "readers refuse incomplete binaries" do
      mesh = Mesh.new!(vertices: @square, faces: [[0, 1, 2], [0, 1, 2, 3]])
      cut = fn binary -> binary_part(binary, 0, byte_size(binary) - 2) end
      broken = %{mesh | vertices: cut.(mesh.vertices)}
      assert_raise ArgumentError, fn -> Enum.to_list(Mesh.vertices(broken)) end
      assert_raise ArgumentError, fn -> Mesh.bounds(broken) end
      assert_raise ArgumentError, fn -> Mesh.map_vertices(broken, & &1) end

      for broken <- [
            %{mesh | loop_vertices: cut.(mesh.loop_vertices)},
            %{mesh | loop_vertices: mesh.loop_vertices <> <<0::32>>},
            %{mesh | loop_vertices: nil, face_sizes: nil, quads: <<0::64>>}
          ] do
        assert_raise ArgumentError, fn -> Enum.to_list(Mesh.faces(broken)) end
      end
    end
  end

  test "from_map/1 refuses what is no mesh" do
    for map <- [
          %{},
          %{"name" => "Cube"},
          %{"vertices" => 5},
          %{"vertices" => [], "new part" => ""}
        ] do
      assert_raise ArgumentError, fn -> Mesh.from_map(map) end
    end
  end

  test "from_map/1 accepts a download with lists" do
    lists = %{
      "vertices" => Enum.map(0..11, &(&1 * 1.0)),
      "quads" => [0, 1, 2, 3],
      "uvs" => List.duplicate(0.5, 8),
      "attributes" => %{
        "mask" => %{"domain" => "face", "type" => "boolean", "values" => [true]}
      }
    }

    mesh = Mesh.from_map(lists)
    assert Enum.take(Mesh.vertices(mesh), 1) == [{0.0, 1.0, 2.0}]
    assert mesh.attributes["mask"].values == <<1>>
  end
end
