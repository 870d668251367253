defmodule BeamBpy.Mesh do
  @moduledoc """
  A mesh as binaries of numbers, for the handlers `upload_mesh` and `download_mesh`.

      mesh =
        BeamBpy.Mesh.new!(
          vertices: [{0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {0, 1, 0}],
          faces: [[0, 1, 2, 3]]
        )

      {:ok, %{"name" => "Sheet"}} = BeamBpy.Mesh.upload(mesh, blender, "Sheet")
      {:ok, mesh} = BeamBpy.Mesh.download(blender, "Sheet", evaluated: true)
      {{-1.0, -1.0, 0.0}, {1.0, 1.0, 0.5}} = BeamBpy.Mesh.bounds(mesh)

  ## The parts

  All numbers are little-endian binaries, so a mesh of a million vertices is a few large binaries and no long list.
  Only `vertices` is required; other parts can be nil.

  | part | numbers |
  |---|---|
  | `vertices` | float32, three per vertex |
  | `triangles`, or `quads` | int32, three or four vertex indices per face |
  | `loop_vertices` and `face_sizes` | int32: the vertex indices of all faces, face after face; the number of vertices of each face |
  | `edges` | int32, two vertex indices per edge |
  | `uvs` | float32, two per face corner: the active UV map |
  | `normals` | float32, three per face corner: custom normals |
  | `attributes` | all other layers: a map from names to `t:attribute/0` |
  | `order` | the names of the attributes, in Blender's order |
  | `active` | a map from `:uv_map`, `:uv_map_render`, `:color` and `:color_render` to the name of a layer, or nil |
  | `materials` | a list of names, or nil for an empty slot |
  | `vertex_groups` | a list of `t:vertex_group/0` |
  | `shape_keys` | a list of `t:shape_key/0` |

  Words of Blender, such as the domain and the type of an attribute, are binaries. `new/1` accepts atoms, too.

  ## With Nx

  The binaries have the format of Nx on all usual processors:

      positions = mesh.vertices |> Nx.from_binary(:f32) |> Nx.reshape({:auto, 3})
      mesh = %{mesh | vertices: positions |> Nx.multiply(2) |> Nx.to_binary()}

  ## Numbers that Elixir cannot hold

  Blender's floats can be infinite or nan. No float of Elixir can, and a comprehension such as
  `for <<x::float-32-little <- binary>>` stops at the first of them without an error. The functions of this module raise
  an `ArgumentError` that names the vertex.
  """

  import BeamBpy.Values, only: [is_float32: 1]

  alias BeamBpy.Values

  @typedoc """
  Values for each element of a domain.

  `domain` is `point`, `edge`, `corner` or `face`. `type` is `float`, `int`, `int8`, `boolean`, `float2`,
  `float_vector`, `float_color`, `byte_color`, `int16_2d`, `int32_2d`, `quaternion`, `float4x4` or `string`. `values` is
  a binary, and for `string` a list of binaries. Values for edges need the part `edges`.
  """
  @type attribute :: %{domain: String.t(), type: String.t(), values: binary() | [binary()]}

  @typedoc "`vertices` are int32, and `weights` are float32 from 0 to 1, one for each of these vertices."
  @type vertex_group :: %{
          required(:name) => String.t(),
          required(:vertices) => binary(),
          required(:weights) => binary(),
          optional(:lock_weight) => boolean()
        }

  @typedoc "`vertices` are float32, three for each vertex of the mesh."
  @type shape_key :: %{
          required(:name) => String.t(),
          required(:vertices) => binary(),
          optional(:value) => number(),
          optional(:slider_min) => number(),
          optional(:slider_max) => number(),
          optional(:mute) => boolean(),
          optional(:relative_key) => String.t(),
          optional(:vertex_group) => String.t()
        }

  @type position :: {float(), float(), float()}

  @type t :: %__MODULE__{
          vertices: binary(),
          triangles: binary() | nil,
          quads: binary() | nil,
          loop_vertices: binary() | nil,
          face_sizes: binary() | nil,
          edges: binary() | nil,
          uvs: binary() | nil,
          normals: binary() | nil,
          attributes: %{String.t() => attribute()},
          order: [String.t()] | nil,
          active: %{atom() => String.t() | nil} | nil,
          materials: [String.t() | nil] | nil,
          vertex_groups: [vertex_group()] | nil,
          shape_keys: [shape_key()] | nil
        }

  @enforce_keys [:vertices]
  defstruct [
    :vertices,
    :triangles,
    :quads,
    :loop_vertices,
    :face_sizes,
    :edges,
    :uvs,
    :normals,
    :order,
    :active,
    :materials,
    :vertex_groups,
    :shape_keys,
    attributes: %{}
  ]

  @arrays %{
    vertices: {:float32, 3},
    triangles: {:int32, 3},
    quads: {:int32, 4},
    loop_vertices: {:int32, 1},
    face_sizes: {:int32, 1},
    edges: {:int32, 2},
    uvs: {:float32, 2},
    normals: {:float32, 3}
  }

  @parts Map.keys(@arrays) ++
           [:attributes, :order, :active, :materials, :vertex_groups, :shape_keys]

  @attribute_types %{
    "float" => {:float32, 1},
    "int" => {:int32, 1},
    "int8" => {:int8, 1},
    "boolean" => {:boolean, 1},
    "float2" => {:float32, 2},
    "float_vector" => {:float32, 3},
    "float_color" => {:float32, 4},
    "byte_color" => {:float32, 4},
    "int16_2d" => {:int16, 2},
    "int32_2d" => {:int32, 2},
    "quaternion" => {:float32, 4},
    "float4x4" => {:float32, 16},
    "string" => :string
  }

  @domains %{"point" => "vertices", "edge" => "edges", "corner" => "corners", "face" => "faces"}
  @roles [:uv_map, :uv_map_render, :color, :color_render]

  @key_settings [:value, :slider_min, :slider_max, :mute, :relative_key, :vertex_group]

  @doc """
  Creates a mesh from its parts: a keyword list or a map.

  Each part that contains numbers is a binary, which is taken as it is, or a list or another enumerable of tuples or
  numbers. Instead of the three forms for faces, the part `faces` can be given: an enumerable of lists of vertex indices.

  The lengths of all parts and all vertex indices are checked. Blender checks the rest, such as faces that use a vertex
  twice, when the mesh is uploaded. Returns `{:error, exception}` with a sentence if the parts do not fit together.

      iex> {:ok, mesh} = BeamBpy.Mesh.new(vertices: [{0, 0, 0}, {1, 0, 0}, {0, 1, 0}], triangles: [{0, 1, 2}])
      iex> mesh.triangles
      <<0::32-little, 1::32-little, 2::32-little>>

      iex> {:error, error} = BeamBpy.Mesh.new(vertices: [{0, 0, 0}], triangles: [{0, 1, 2}])
      iex> Exception.message(error)
      "a face uses vertex 1, but there are 1 vertices, numbered from 0"
  """
  @spec new(Enumerable.t()) :: {:ok, t()} | {:error, Exception.t()}
  def new(parts) do
    {:ok, new!(parts)}
  rescue
    error in ArgumentError -> {:error, error}
  end

  @doc """
  Like `new/1`, but returns the mesh itself, and raises an `ArgumentError`.

      iex> mesh = BeamBpy.Mesh.new!(vertices: <<0.0::float-32-little, 1.0::float-32-little, 2.0::float-32-little>>)
      iex> Enum.to_list(BeamBpy.Mesh.vertices(mesh))
      [{0.0, 1.0, 2.0}]
  """
  @spec new!(Enumerable.t()) :: t()
  def new!(parts) do
    parts |> Values.named([:faces | @parts], "part of a mesh") |> with_faces() |> build()
  end

  @doc """
  Creates a mesh from the answer of the handler `download_mesh`, whose keys are binaries.

  Raises an `ArgumentError` if it is no mesh. `to_map/1` returns the same map again.

      iex> map = %{"vertices" => <<0::96>>, "attributes" => %{}, "materials" => ["Red", nil]}
      iex> mesh = BeamBpy.Mesh.from_map(map)
      iex> mesh.materials
      ["Red", nil]
      iex> BeamBpy.Mesh.to_map(mesh) == map
      true
  """
  @spec from_map(map()) :: t()
  def from_map(map) when is_map(map) do
    map |> Values.named(@parts, "part of a mesh") |> build()
  end

  @doc """
  The mesh as a map for the handler `upload_mesh`. All keys are binaries, and parts that are nil are left out.

      iex> mesh = BeamBpy.Mesh.new!(vertices: [{0, 0, 0}])
      iex> BeamBpy.Mesh.to_map(mesh)
      %{"vertices" => <<0::96>>, "attributes" => %{}}
  """
  @spec to_map(t()) :: %{String.t() => term()}
  def to_map(%__MODULE__{} = mesh) do
    for {part, value} <- Map.from_struct(mesh), value != nil, into: %{} do
      {Atom.to_string(part), with_text_keys(part, value)}
    end
  end

  @doc """
  Creates the object `name` in a Blender, or replaces its mesh.

  `target` is the first argument of `BeamBpy.call/4`. The options `validate` and `discard` are those of the handler
  `upload_mesh`; all other options are those of `BeamBpy.call/4`. The result is the map that the handler returns, with
  the keys `"name"`, `"vertices"`, `"faces"`, `"corners"`, `"mended"` and `"seconds"`.

      {:ok, %{"name" => "Sheet", "mended" => false}} = BeamBpy.Mesh.upload(mesh, blender, "Sheet", timeout: 60_000)

  If only the positions change, as in a simulation, the handler `move_vertices` is much faster:
  `BeamBpy.call(blender, :move_vertices, ["Sheet", mesh.vertices])`.
  """
  @spec upload(t(), BeamBpy.target(), String.t() | atom(), keyword()) ::
          {:ok, map()} | {:error, BeamBpy.Error.t()}
  def upload(%__MODULE__{} = mesh, target, name, options \\ []) do
    {chosen, call_options} = Keyword.split(options, [:validate, :discard])
    BeamBpy.call(target, :upload_mesh, [name, to_map(mesh), Map.new(chosen)], call_options)
  end

  @doc "Like `upload/4`, but returns the map itself, and raises `BeamBpy.Error`."
  @spec upload!(t(), BeamBpy.target(), String.t() | atom(), keyword()) :: map()
  def upload!(%__MODULE__{} = mesh, target, name, options \\ []) do
    mesh |> upload(target, name, options) |> Values.result!()
  end

  @doc """
  Reads the mesh of an object in a Blender.

  The options `evaluated` and `attributes` are those of the handler `download_mesh`; all other options are those of
  `BeamBpy.call/4`.

      {:ok, mesh} = BeamBpy.Mesh.download(blender, "Sheet", evaluated: true)
  """
  @spec download(BeamBpy.target(), String.t() | atom(), keyword()) ::
          {:ok, t()} | {:error, BeamBpy.Error.t()}
  def download(target, name, options \\ []) do
    {chosen, call_options} = Keyword.split(options, [:evaluated, :attributes])

    with {:ok, map} <- BeamBpy.call(target, :download_mesh, [name, Map.new(chosen)], call_options) do
      {:ok, from_map(map)}
    end
  end

  @doc "Like `download/3`, but returns the mesh itself, and raises `BeamBpy.Error`."
  @spec download!(BeamBpy.target(), String.t() | atom(), keyword()) :: t()
  def download!(target, name, options \\ []) do
    target |> download(name, options) |> Values.result!()
  end

  @doc """
  The number of vertices.

      iex> BeamBpy.Mesh.vertex_count(BeamBpy.Mesh.new!(vertices: [{0, 0, 0}, {1, 0, 0}]))
      2
  """
  @spec vertex_count(t()) :: non_neg_integer()
  def vertex_count(%__MODULE__{vertices: vertices}), do: Values.count(vertices, :float32, 3)

  @doc """
  The number of faces.

      iex> mesh = BeamBpy.Mesh.new!(vertices: [{0, 0, 0}, {1, 0, 0}, {0, 1, 0}], faces: [[0, 1, 2]])
      iex> BeamBpy.Mesh.face_count(mesh)
      1
  """
  @spec face_count(t()) :: non_neg_integer()
  def face_count(%__MODULE__{} = mesh) do
    Values.count(mesh.triangles, :int32, 3) + Values.count(mesh.quads, :int32, 4) +
      Values.count(mesh.face_sizes, :int32, 1)
  end

  @doc """
  A stream of all vertices, as `{x, y, z}`.

  It raises an `ArgumentError` at a position that is infinite or nan.

      iex> mesh = BeamBpy.Mesh.new!(vertices: [{0, 0, 0}, {1, 0, 0.5}])
      iex> Enum.map(BeamBpy.Mesh.vertices(mesh), fn {x, _y, z} -> x + z end)
      [0.0, 1.5]
  """
  @spec vertices(t()) :: Enumerable.t()
  def vertices(%__MODULE__{vertices: vertices}) do
    Stream.unfold(vertices, fn
      <<x::float-32-little, y::float-32-little, z::float-32-little, rest::binary>> ->
        {{x, y, z}, rest}

      <<>> ->
        nil

      rest ->
        raise Values.unreadable(vertices, rest, 3, "the position of vertex")
    end)
  end

  @doc """
  A stream of all faces, as lists of vertex indices.

      iex> mesh = BeamBpy.Mesh.new!(vertices: [{0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {0, 1, 0}], quads: [{0, 1, 2, 3}])
      iex> Enum.to_list(BeamBpy.Mesh.faces(mesh))
      [[0, 1, 2, 3]]
  """
  @spec faces(t()) :: Enumerable.t()
  def faces(%__MODULE__{triangles: <<triangles::binary>>}), do: faces_of_size(triangles, 3)
  def faces(%__MODULE__{quads: <<quads::binary>>}), do: faces_of_size(quads, 4)

  def faces(%__MODULE__{loop_vertices: <<corners::binary>>, face_sizes: <<sizes::binary>>}) do
    Stream.unfold({corners, sizes}, fn
      {corners, <<size::32-little, sizes::binary>>} ->
        {face, corners} = first_face(corners, size)
        {face, {corners, sizes}}

      {<<>>, <<>>} ->
        nil

      _ ->
        raise ArgumentError, "loop_vertices has more numbers than the faces of face_sizes need"
    end)
  end

  def faces(%__MODULE__{}), do: faces_of_size(<<>>, 3)

  @doc """
  The smallest and the largest coordinates, or nil if the mesh has no vertices.

      iex> mesh = BeamBpy.Mesh.new!(vertices: [{0, 2, 0}, {1, 0, -0.5}])
      iex> BeamBpy.Mesh.bounds(mesh)
      {{0.0, 0.0, -0.5}, {1.0, 2.0, 0.0}}
  """
  @spec bounds(t()) :: {position(), position()} | nil
  def bounds(%__MODULE__{vertices: <<>>}), do: nil

  def bounds(%__MODULE__{vertices: vertices} = mesh) do
    [first] = mesh |> vertices() |> Enum.take(1)
    bounds(vertices, first, first, vertices)
  end

  @doc """
  Moves each vertex to the position that `fun` returns for its position.

  The positions of shape keys are moved by the same function. Custom normals do not change.

      iex> mesh = BeamBpy.Mesh.new!(vertices: [{0, 0, 0}, {1, 0, 0}])
      iex> higher = BeamBpy.Mesh.map_vertices(mesh, fn {x, y, z} -> {x, y, z + 1.5} end)
      iex> Enum.to_list(BeamBpy.Mesh.vertices(higher))
      [{0.0, 0.0, 1.5}, {1.0, 0.0, 1.5}]
  """
  @spec map_vertices(t(), (position() -> {number(), number(), number()})) :: t()
  def map_vertices(%__MODULE__{} = mesh, fun) when is_function(fun, 1) do
    keys =
      mesh.shape_keys &&
        Enum.map(mesh.shape_keys, &%{&1 | vertices: moved(&1.vertices, fun, <<>>, &1.vertices)})

    %{mesh | vertices: moved(mesh.vertices, fun, <<>>, mesh.vertices), shape_keys: keys}
  end

  # Faces

  defp with_faces(%{faces: faces} = parts) do
    if Enum.any?([:triangles, :quads, :loop_vertices], &is_map_key(parts, &1)) do
      raise ArgumentError, "give the faces in one form only: the part faces, or another one"
    end

    parts |> Map.delete(:faces) |> Map.merge(face_parts(faces))
  end

  defp with_faces(parts), do: parts

  # Blender returns meshes with faces of one size as triangles or quads, so this function does the same.
  defp face_parts(faces) do
    Values.check_enumerable(faces, "faces has to be a list of lists of vertex indices")
    faces = Enum.map(faces, &corners/1)

    case faces |> Enum.map(&length/1) |> Enum.uniq() do
      [3] ->
        %{triangles: faces}

      [4] ->
        %{quads: faces}

      _ ->
        %{loop_vertices: Stream.concat(faces), face_sizes: Stream.map(faces, &length/1)}
    end
  end

  defp corners(face) when is_tuple(face), do: Tuple.to_list(face)
  defp corners(face), do: Values.list(face, "each of the faces")

  defp faces_of_size(indices, size) do
    Stream.unfold(indices, fn
      <<>> -> nil
      rest -> first_face(rest, size)
    end)
  end

  defp first_face(corners, size) do
    bytes = 4 * size

    case corners do
      <<face::binary-size(bytes), rest::binary>> ->
        {for(<<index::signed-32-little <- face>>, do: index), rest}

      _ ->
        raise ArgumentError,
              "the last face needs #{size} vertices, but only #{div(byte_size(corners), 4)} are left"
    end
  end

  # Positions

  defp bounds(
         <<x::float-32-little, y::float-32-little, z::float-32-little, rest::binary>>,
         {x0, y0, z0},
         {x1, y1, z1},
         all
       ) do
    bounds(rest, {min(x, x0), min(y, y0), min(z, z0)}, {max(x, x1), max(y, y1), max(z, z1)}, all)
  end

  defp bounds(<<>>, low, high, _all), do: {low, high}

  defp bounds(rest, _low, _high, all),
    do: raise(Values.unreadable(all, rest, 3, "the position of vertex"))

  defp moved(
         <<x::float-32-little, y::float-32-little, z::float-32-little, rest::binary>>,
         fun,
         done,
         all
       ) do
    case fun.({x, y, z}) do
      {x, y, z} when is_float32(x) and is_float32(y) and is_float32(z) ->
        done = <<done::binary, x::float-32-little, y::float-32-little, z::float-32-little>>
        moved(rest, fun, done, all)

      other ->
        raise ArgumentError,
              "the function has to return {x, y, z} with numbers that float32 can hold, but for vertex " <>
                "#{Values.count(done, :float32, 3)} it returned #{Values.shown(other)}"
    end
  end

  defp moved(<<>>, _fun, done, _all), do: done

  defp moved(rest, _fun, _done, all),
    do: raise(Values.unreadable(all, rest, 3, "the position of vertex"))

  # Check the parts

  defp build(parts) do
    if not is_map_key(parts, :vertices), do: raise(ArgumentError, "a mesh needs vertices")

    packed =
      for {part, value} <- parts, into: %{} do
        {part, checked(part, value)}
      end

    __MODULE__ |> struct!(packed) |> check_faces() |> check_sizes()
  end

  defp checked(part, value) when is_map_key(@arrays, part) do
    {type, width} = @arrays[part]
    Values.pack(value, type, width, Atom.to_string(part))
  end

  defp checked(:attributes, value) do
    for {name, attribute} <- Values.pairs(value, "attribute"), into: %{} do
      {name, attribute(name, attribute)}
    end
  end

  defp checked(:order, value) do
    value |> Values.list("order") |> Enum.map(&Values.text(&1, "a name in order"))
  end

  defp checked(:active, value) do
    roles = Map.new(@roles, &{Atom.to_string(&1), &1})

    for {role, name} <- Values.pairs(value, "active layer"), into: %{} do
      role = roles[role] || raise ArgumentError, unknown("active layer", role, Map.keys(roles))
      {role, name && Values.text(name, "the name of the active #{role}")}
    end
  end

  defp checked(:materials, value) do
    value
    |> Values.list("materials")
    |> Enum.map(&(&1 && Values.text(&1, "the name of a material")))
  end

  defp checked(:vertex_groups, value) do
    value |> Values.list("vertex_groups") |> Enum.map(&vertex_group/1)
  end

  defp checked(:shape_keys, value) do
    value |> Values.list("shape_keys") |> Enum.map(&shape_key/1)
  end

  defp attribute(name, given) do
    what = "the attribute #{inspect(name)}"

    given =
      given |> Values.named([:domain, :type, :values], "part of #{what}") |> need(:domain, what)

    domain = given |> Map.fetch!(:domain) |> known(@domains, "domain of attributes")

    type =
      given
      |> need(:type, what)
      |> Map.fetch!(:type)
      |> known(@attribute_types, "type of attribute")

    values = given |> need(:values, what) |> Map.fetch!(:values)
    %{domain: domain, type: type, values: attribute_values(@attribute_types[type], values, what)}
  end

  defp attribute_values(:string, values, what) do
    texts = Values.list(values, "the values of #{what}")

    case Enum.find(texts, &(not is_binary(&1))) do
      nil ->
        texts

      other ->
        raise ArgumentError,
              "the values of #{what} have to be binaries, not #{Values.shown(other)}"
    end
  end

  defp attribute_values({type, width}, values, what), do: Values.pack(values, type, width, what)

  defp vertex_group(given) do
    group =
      given
      |> Values.named([:name, :vertices, :weights, :lock_weight], "part of a vertex group")
      |> need(:name, "a vertex group")

    name = Values.text(group.name, "the name of a vertex group")
    what = "the vertex group #{inspect(name)}"
    vertices = Values.pack(Map.get(group, :vertices, []), :int32, 1, "vertices of #{what}")
    weights = Values.pack(Map.get(group, :weights, []), :float32, 1, "weights of #{what}")

    Values.check_count(
      weights,
      :float32,
      1,
      Values.count(vertices, :int32, 1),
      {"weights of #{what}", "vertices"}
    )

    Map.merge(group, %{name: name, vertices: vertices, weights: weights})
  end

  defp shape_key(given) do
    key =
      given
      |> Values.named([:name, :vertices | @key_settings], "part of a shape key")
      |> need(:name, "a shape key")

    name = Values.text(key.name, "the name of a shape key")
    what = "the shape key #{inspect(name)}"

    vertices =
      key |> need(:vertices, what) |> Map.fetch!(:vertices) |> Values.pack(:float32, 3, what)

    Map.merge(key, %{name: name, vertices: vertices})
  end

  defp check_faces(mesh) do
    forms = for form <- [:triangles, :quads, :loop_vertices], Map.fetch!(mesh, form), do: form

    if length(forms) > 1 do
      raise ArgumentError, "give the faces in one form only, not as #{Enum.join(forms, " and ")}"
    end

    if is_nil(mesh.loop_vertices) != is_nil(mesh.face_sizes) do
      raise ArgumentError, "loop_vertices and face_sizes must be given together"
    end

    if mesh.face_sizes, do: check_face_sizes(mesh.face_sizes, corner_count(mesh))
    mesh
  end

  defp check_face_sizes(sizes, corners) do
    case sum_of_sizes(sizes, 0) do
      {:too_small, size} ->
        raise ArgumentError, "a face has at least three vertices, but face_sizes contains #{size}"

      ^corners ->
        :ok

      total ->
        raise ArgumentError,
              "face_sizes adds up to #{total}, but loop_vertices has #{corners} numbers"
    end
  end

  defp sum_of_sizes(<<size::signed-32-little, rest::binary>>, sum) when size >= 3,
    do: sum_of_sizes(rest, sum + size)

  defp sum_of_sizes(<<size::signed-32-little, _rest::binary>>, _sum), do: {:too_small, size}
  defp sum_of_sizes(<<>>, sum), do: sum

  defp check_sizes(mesh) do
    vertices = vertex_count(mesh)
    corners = corner_count(mesh)
    for form <- [:triangles, :quads, :loop_vertices], do: check_indices(mesh, form, "a face")
    check_indices(mesh, :edges, "an edge")
    if mesh.uvs, do: Values.check_count(mesh.uvs, :float32, 2, corners, {"uvs", "corners"})

    if mesh.normals,
      do: Values.check_count(mesh.normals, :float32, 3, corners, {"normals", "corners"})

    Enum.each(mesh.attributes, &check_attribute(&1, mesh))

    for group <- mesh.vertex_groups || [] do
      Values.check_indices(group.vertices, vertices, "the vertex group #{inspect(group.name)}")
    end

    for key <- mesh.shape_keys || [] do
      what = {"the shape key #{inspect(key.name)}", "vertices"}
      Values.check_count(key.vertices, :float32, 3, vertices, what)
    end

    mesh
  end

  defp check_indices(mesh, part, what) do
    Values.check_indices(Map.fetch!(mesh, part), vertex_count(mesh), what)
  end

  defp check_attribute({name, %{domain: "edge"}}, %{edges: nil}) do
    raise ArgumentError,
          "the attribute #{inspect(name)} has a value for each edge: give the part edges, too, because only then " <>
            "the order of edges is known"
  end

  defp check_attribute({name, %{type: "string"} = attribute}, mesh) do
    size = domain_size(attribute.domain, mesh)

    if length(attribute.values) != size do
      raise ArgumentError,
            "the attribute #{inspect(name)} has #{length(attribute.values)} values, but there are #{size} " <>
              @domains[attribute.domain]
    end
  end

  defp check_attribute({name, attribute}, mesh) do
    {type, width} = @attribute_types[attribute.type]
    what = {"the attribute #{inspect(name)}", @domains[attribute.domain]}
    Values.check_count(attribute.values, type, width, domain_size(attribute.domain, mesh), what)
  end

  defp domain_size("point", mesh), do: vertex_count(mesh)
  defp domain_size("edge", mesh), do: Values.count(mesh.edges, :int32, 2)
  defp domain_size("corner", mesh), do: corner_count(mesh)
  defp domain_size("face", mesh), do: face_count(mesh)

  defp corner_count(mesh) do
    Values.count(mesh.triangles || mesh.quads || mesh.loop_vertices, :int32, 1)
  end

  defp need(map, part, _what) when is_map_key(map, part), do: map
  defp need(_map, part, what), do: raise(ArgumentError, "#{what} needs #{part}")

  defp known(word, table, what) do
    word = Values.text(word, "the #{what}")

    if is_map_key(table, word),
      do: word,
      else: raise(ArgumentError, unknown(what, word, Map.keys(table)))
  end

  defp unknown(what, word, allowed) do
    "no #{what} #{inspect(word)}; there are: #{allowed |> Enum.sort() |> Enum.join(", ")}"
  end

  # Keys for Blender

  defp with_text_keys(:attributes, attributes) do
    Map.new(attributes, fn {name, attribute} -> {name, text_keys(attribute)} end)
  end

  defp with_text_keys(:active, active), do: text_keys(active)

  defp with_text_keys(part, list) when part in [:vertex_groups, :shape_keys],
    do: Enum.map(list, &text_keys/1)

  defp with_text_keys(_part, value), do: value

  defp text_keys(map), do: Map.new(map, fn {key, value} -> {Atom.to_string(key), value} end)
end
