defmodule BeamBpy.Assets do
  @moduledoc """
  3D files as values: pictures, conversions, levels of detail, checks.

      children = [
        {BeamBpy.Pool, name: MyApp.Blender, command: :python, handlers: ["scene_handlers"], max: 2}
      ]

      {:ok, png} = BeamBpy.Assets.thumbnail(MyApp.Blender, "chair.fbx", width: 512, height: 512)
      {:ok, glb} = BeamBpy.Assets.convert(MyApp.Blender, {:bytes, upload}, :glb)
      {:ok, "chair.usdz"} = BeamBpy.Assets.convert(MyApp.Blender, "chair.fbx", "chair.usdz")

  Each function opens one file in an empty Blender, and makes one call. Nothing of the file remains in the Blender when the
  call has ended, also after an error. So the functions need a pool (or another target of `BeamBpy.call/4`) with the
  handlers of *Scene Handlers*, and replace the scene that its Blender had before.

  ## Sources and results

  A source is a path on the machine of the caller, or `{:bytes, data}`: the content of a file. This module reads the file
  and sends its content, so Blender can run on another machine, and never sees the other files of the folder. The
  content decides which format a file has, and not its name: an upload without a suffix is no problem. Blender imports
  `t:format/0`, and opens .blend files. The whole model has to be in one file: .glb rather than .gltf with other files.

  A result is a binary. With a path as target (`to`), it is written to a file on the machine of the caller, and the
  function returns the path. The file appears complete or not at all. Missing folders are created; a read-only file is
  not replaced.

  ## Files from strangers

  A file that is damaged, too large, or no 3D file gives an error with a sentence. Scripts in files do not run, and other
  files to which a file refers are not read. A file that crashes Blender gives an error with the kind `:crashed`, and
  one that takes too long an error with the kind `:timeout`: the pool replaces the Blender, and only this call fails. See
  the guide *Uploads in Phoenix*.

  ## Options of all functions

    * `:format` - the format of the source. Default: that of its content. A file with another content is refused
    * `:max_bytes` - the largest size of the source, in bytes. Default: 256 MiB
    * `:max_unpacked` - the largest size of its content after it is unpacked, in bytes. Default: 1 GiB
    * `:max_pixels` - the largest number of pixels of one picture in it. Default: 67108864
    * `:max_seconds` - the longest time of the work. Default: 120. It is checked between steps; to interrupt Blender, use
      `:timeout`
    * `:external` - true: a .blend file may load other files, by their absolute paths on the machine of Blender. Default:
      false; a file with libraries is then refused, and other files are left out
    * `:discard` - true: if the Blender has a window, unsaved changes of its user are lost. Default: false. The Blenders
      of a pool have no window
    * `:timeout`, `:progress_timeout`, `:retries`, `:affinity` - as for `BeamBpy.call/4`. All functions may run twice, so
      you can set `:retries`

  Blender does not answer the BEAM while it imports or decimates a very large file. If that takes more than a minute, the BEAM
  takes the connection for lost, unless it was started with `--erl "-kernel net_ticktime 600"`.

  The options of pictures, exports and so on are those of the handler that makes them, which the page [*Scene
  handlers*](https://github.com/beam-bpy/beam-bpy/blob/main/docs/scene_handlers.md) describes.

  ## Errors

  All functions return `{:ok, result}` or `{:error, %BeamBpy.Error{}}`. Errors about files of the caller have the kind
  `:file`; they come at once and need no Blender:

      iex> {:error, error} = BeamBpy.Assets.thumbnail(MyApp.Blender, "missing.glb")
      iex> {error.kind, error.reason}
      {:file, :enoent}
      iex> Exception.message(error)
      "cannot read \\"missing.glb\\": no such file or directory"

  An error of Blender about the file itself has the kind `:python`. Functions that end with `!` raise the error. A mistake
  in the options raises an `ArgumentError`.
  """

  # This module has a function with the same name.
  import Kernel, except: [inspect: 1, inspect: 2]

  alias BeamBpy.Assets.Files
  alias BeamBpy.{Error, Values}

  @formats [:glb, :gltf, :fbx, :obj, :usd, :usda, :usdc, :usdz, :stl, :ply, :abc, :vrm]

  @type path :: String.t()

  @typedoc "A path on the machine of the caller, or the content of a file."
  @type source :: path() | {:bytes, binary()}

  @typedoc "A format of 3D files. `:abc` is Alembic; `:vrm` needs an extension of Blender."
  @type format ::
          :glb | :gltf | :fbx | :obj | :usd | :usda | :usdc | :usdz | :stl | :ply | :abc | :vrm

  @typedoc "A format, or the path of a file that is written."
  @type target_file :: format() | path()

  @typedoc "A handler of *Scene Handlers*, and its arguments."
  @type step :: {atom() | String.t(), [term()]}

  @typedoc "See the documentation of the module, and that of each function."
  @type options :: keyword()

  @typedoc "A picture or its path; for several objects, a map from their names to them."
  @type baked :: binary() | path() | %{String.t() => binary() | path()}

  @type result(value) :: {:ok, value} | {:error, Error.t()}

  # The default of the handlers. The file is read here, before they see it.
  @max_bytes 256 * 1024 * 1024

  @limits [:max_bytes, :max_unpacked, :max_pixels, :max_seconds]
  @of_file [:format, :external, :discard | @limits]
  @of_call [:timeout, :progress_timeout, :retries, :affinity]
  @look [:width, :height, :from, :engine, :samples, :denoise]
  @bake [:width, :height, :margin, :samples, :space, :uv_map, :unwrap]

  @doc """
  Pictures a file. Returns the bytes of a PNG file with a transparent background.

      {:ok, png} = BeamBpy.Assets.thumbnail(MyApp.Blender, "chair.glb")
      {:ok, "chair.png"} = BeamBpy.Assets.thumbnail(MyApp.Blender, "chair.glb", to: "chair.png", from: :front)

  All of the subject is in the picture and fills it. It is lit by lights of its own.

  ## Options

    * `:width`, `:height` - the size in pixels, 4 to 8192. Default: 256
    * `:from` - the direction from which it is seen: `:front`, `:back`, `:left`, `:right`, `:top`, `:bottom`, or a list
      of three numbers. Default: `[0.5, -1, 0.45]`
    * `:samples` - the number of samples of Cycles; more take longer. Default: 16
    * `:denoise` - true: remove the noise. Default: false
    * `:engine` - `:cycles`, or `:eevee` and `:workbench`, which need a graphics card. Default: `:cycles`
    * `:kind`, `:name` - what is pictured: a `:scene`, `:object`, `:collection` or `:material`, and its name. Default:
      the whole scene
    * `:to` - the path of a .png file. The function then returns the path
    * and those of all functions, see above
  """
  @spec thumbnail(BeamBpy.target(), source(), options()) :: result(binary() | path())
  def thumbnail(target, source, options \\ []) do
    {own, options} = split!(options, [:kind, :name, :to | @look])
    step = {:thumbnail, [own[:kind] || :scene, own[:name], handler_options(own, @look)]}

    with {:ok, place} <- picture_place(own[:to]),
         {:ok, [png]} <- process(target, source, [step], options),
         do: store(png, place)
  end

  @doc "Like `thumbnail/3`, but returns the result itself, and raises `BeamBpy.Error`."
  @spec thumbnail!(BeamBpy.target(), source(), options()) :: binary() | path()
  def thumbnail!(target, source, options \\ []),
    do: target |> thumbnail(source, options) |> Values.result!()

  @doc """
  Pictures a file from all sides. Returns a list of the bytes of PNG files.

      {:ok, pictures} = BeamBpy.Assets.turntable(MyApp.Blender, "chair.glb", count: 24)
      {:ok, ["turn/0001.png" | _]} = BeamBpy.Assets.turntable(MyApp.Blender, "chair.glb", to: "turn")

  The camera goes around the subject counterclockwise, as seen from above. All pictures have the same scale.

  ## Options

  Those of `thumbnail/3`, of which `:from` is the first direction, and:

    * `:count` - the number of pictures, 1 to 1000. Default: 12
    * `:to` - a folder for the files `0001.png`, `0002.png` and so on. The function then returns their paths. The files
      appear when all pictures are ready
  """
  @spec turntable(BeamBpy.target(), source(), options()) :: result([binary()] | [path()])
  def turntable(target, source, options \\ []) do
    {own, options} = split!(options, [:kind, :name, :to, :count | @look])
    look = handler_options(own, [:count | @look])
    step = {:turntable, [own[:kind] || :scene, own[:name], look]}

    with {:ok, folder} <- folder_place(own[:to]),
         {:ok, [pictures]} <- process(target, source, [step], options),
         do: store_all(pictures, pictures_in(folder, length(pictures)))
  end

  @doc "Like `turntable/3`, but returns the result itself, and raises `BeamBpy.Error`."
  @spec turntable!(BeamBpy.target(), source(), options()) :: [binary()] | [path()]
  def turntable!(target, source, options \\ []),
    do: target |> turntable(source, options) |> Values.result!()

  @doc """
  Converts a file to another format.

      {:ok, glb} = BeamBpy.Assets.convert(MyApp.Blender, "chair.fbx", :glb)
      {:ok, "chair.usdz"} = BeamBpy.Assets.convert(MyApp.Blender, "chair.fbx", "chair.usdz")

  `to` is a `t:format/0`, and the function returns the content of the new file; or a path, whose suffix is that of a
  format, and the function returns the path.

  ## Options

    * `:animations` - false: without animations. Default: true
    * and those of all functions, see above
  """
  @spec convert(BeamBpy.target(), source(), target_file(), options()) ::
          result(binary() | path())
  def convert(target, source, to, options \\ []) do
    options = Keyword.validate!(options, [:animations | @of_file ++ @of_call])
    {of_call, of_file} = Keyword.split(options, @of_call)

    with {:ok, format, place} <- file_place(to),
         {:ok, data} <- read(source, of_file),
         arguments = [data, format, Map.new(of_file)],
         {:ok, content} <- BeamBpy.call(target, :convert_bytes, arguments, of_call),
         do: store(content, place)
  end

  @doc "Like `convert/4`, but returns the result itself, and raises `BeamBpy.Error`."
  @spec convert!(BeamBpy.target(), source(), target_file(), options()) :: binary() | path()
  def convert!(target, source, to, options \\ []),
    do: target |> convert(source, to, options) |> Values.result!()

  @doc """
  Describes a file without opening it in Blender.

      {:ok, %{"format" => "glb", "bytes" => _size, "counts" => %{"meshes" => 3}}} =
        BeamBpy.Assets.inspect(MyApp.Blender, "chair.glb")

  The map is that of the handler `inspect_bytes`: `format` and `bytes`; for .blend, .glb and .gltf also `version` and
  `counts`; for .blend files the `names` of datablocks and the paths of `libraries`; for .glb and .gltf the URIs of
  `external` files. The scene of the Blender stays.

  The options are `:max_bytes`, `:max_unpacked`, and those of the call.
  """
  @spec inspect(BeamBpy.target(), source(), options()) :: result(%{String.t() => term()})
  def inspect(target, source, options \\ []) do
    options = Keyword.validate!(options, [:max_bytes, :max_unpacked | @of_call])
    limits = handler_options(options, @limits)

    with {:ok, data} <- read(source, options),
         do: BeamBpy.call(target, :inspect_bytes, [data, limits], Keyword.take(options, @of_call))
  end

  @doc "Like `inspect/3`, but returns the result itself, and raises `BeamBpy.Error`."
  @spec inspect!(BeamBpy.target(), source(), options()) :: %{String.t() => term()}
  def inspect!(target, source, options \\ []),
    do: target |> inspect(source, options) |> Values.result!()

  @doc """
  Reduces the number of faces of all meshes of a file. Also makes levels of detail.

      {:ok, glb} = BeamBpy.Assets.decimate(MyApp.Blender, "chair.glb", :glb, ratio: 0.25)
      {:ok, [half, quarter]} = BeamBpy.Assets.decimate(MyApp.Blender, "chair.glb", :glb, levels: [0.5, 0.25])

      {:ok, ["chair_LOD1.glb", "chair_LOD2.glb"]} =
        BeamBpy.Assets.decimate(MyApp.Blender, "chair.fbx", "chair.glb", levels: [0.5, 0.25])

  `to` is that of `convert/4`. With `:levels`, the function returns a list with one file for each level, and the files
  get `_LOD1`, `_LOD2` and so on before their suffix.

  ## Options

    * `:ratio` - the part of the triangles that remains, a number greater than 0, at most 1. A quad counts as two
      triangles
    * `:levels` - a list of such numbers, in place of `:ratio`. Each is at most as large as the one before
    * `:discard` - also: the meshes may lose what they cannot keep, such as shape keys. Default: false, such a file is
      refused
    * `:animations` - as for `convert/4`
    * and those of all functions, see above
  """
  @spec decimate(BeamBpy.target(), source(), target_file(), options()) ::
          result(binary() | path() | [binary()] | [path()])
  def decimate(target, source, to, options) do
    {own, options} = split!(options, [:ratio, :levels, :animations])
    ratios = ratios!(own)
    discard = Keyword.take(options, [:discard])

    with {:ok, format, place} <- file_place(to),
         places = if(own[:ratio], do: [place], else: levels_of(place, length(ratios))),
         :ok <- check_all(places),
         export = {:export_bytes, [format, handler_options(own, [:animations])]},
         steps = decimations(ratios, discard, export),
         {:ok, results} <- process(target, source, steps, options),
         # Each second result is that of an export.
         contents = results |> Enum.drop(1) |> Enum.take_every(2),
         {:ok, stored} <- store_all(contents, places) do
      {:ok, if(own[:ratio], do: hd(stored), else: stored)}
    end
  end

  @doc "Like `decimate/4`, but returns the result itself, and raises `BeamBpy.Error`."
  @spec decimate!(BeamBpy.target(), source(), target_file(), options()) ::
          binary() | path() | [binary()] | [path()]
  def decimate!(target, source, to, options),
    do: target |> decimate(source, to, options) |> Values.result!()

  # Each level is made of the one before, so that all of them need one call, and the file is opened once.
  defp decimations(ratios, discard, export) do
    [1.0 | ratios]
    |> Enum.zip_with(ratios, fn before, ratio -> ratio / before end)
    |> Enum.flat_map(fn ratio ->
      [{:decimate, [nil, Map.new([ratio: ratio] ++ discard)]}, export]
    end)
  end

  defp ratios!(options) do
    case {options[:ratio], options[:levels]} do
      {ratio, nil} when is_number(ratio) and ratio > 0 and ratio <= 1 ->
        [ratio]

      {nil, [_ | _] = levels} ->
        if Enum.all?(levels, &(is_number(&1) and &1 > 0 and &1 <= 1)) and
             Enum.sort(levels, :desc) == levels do
          levels
        else
          raise ArgumentError,
                "the option :levels has to be a list of numbers greater than 0 and at most 1, " <>
                  "the largest first, not #{Values.shown(levels)}"
        end

      _ ->
        raise ArgumentError,
              "give either the option :ratio, a number greater than 0 and at most 1, or the option :levels, " <>
                "a list of such numbers"
    end
  end

  @doc """
  Bakes the look of a mesh into an image. Returns the bytes of a PNG file.

      {:ok, png} = BeamBpy.Assets.bake(MyApp.Blender, "chair.glb", kind: :normal, name: "Seat")
      {:ok, %{"Seat" => _, "Leg" => _}} = BeamBpy.Assets.bake(MyApp.Blender, "chair.glb", kind: :ao, unwrap: true)

  Without a name, all mesh objects are baked: if the file has one, the function returns its picture, and if it has
  several, a map from their names to their pictures.

  ## Options

    * `:kind` - `:diffuse` (the base colours, without light), `:normal`, or `:ao` (ambient occlusion). Default:
      `:diffuse`
    * `:name` - the name of the mesh object. Default: all of them
    * `:width`, `:height` - in pixels, 1 to 16384. Default: 1024
    * `:samples` - for each pixel. Default: 64
    * `:margin` - how far each part of the picture grows over its border, in pixels. Default: 16
    * `:space` - of `:normal`: `:tangent` or `:object`. Default: `:tangent`
    * `:uv_map` - the name of the UV map. Default: the active one
    * `:unwrap` - true: give a mesh without a UV map one. Default: false, such a mesh is refused
    * `:to` - the path of a .png file. The function then returns the path. With several pictures, their numbers come
      before the suffix, such as `out_1.png`, and the function returns a map from the names to the paths
    * and those of all functions, see above
  """
  @spec bake(BeamBpy.target(), source(), options()) :: result(baked())
  def bake(target, source, options \\ []) do
    {own, options} = split!(options, [:kind, :name, :to | @bake])
    step = {:bake, [own[:kind] || :diffuse, own[:name], handler_options(own, @bake)]}

    with {:ok, place} <- picture_place(own[:to]),
         {:ok, [baked]} <- process(target, source, [step], options),
         do: store_baked(baked, place)
  end

  @doc "Like `bake/3`, but returns the result itself, and raises `BeamBpy.Error`."
  @spec bake!(BeamBpy.target(), source(), options()) :: baked()
  def bake!(target, source, options \\ []),
    do: target |> bake(source, options) |> Values.result!()

  @doc """
  Opens a file, and calls handlers of *Scene Handlers* with it, in their order. Returns the list of their results.

      {:ok, [_counts, png, glb]} =
        BeamBpy.Assets.process(MyApp.Blender, "chair.fbx", [
          {:decimate, [nil, %{ratio: 0.5}]},
          {:thumbnail, ["scene", nil, %{width: 512}]},
          {:export_bytes, ["glb"]}
        ])

  The file is opened once, so this is faster than several of the other functions. A step is `{handler, arguments}`. All
  names and argument lists are checked before the file is opened. If a step fails, the function returns its error.

  The options are those of all functions, see above. For the progress of each step, call the handler `process_bytes` with
  `BeamBpy.stream/4`.
  """
  @spec process(BeamBpy.target(), source(), [step()], options()) :: result([term()])
  def process(target, source, steps, options \\ []) when is_list(steps) do
    options = Keyword.validate!(options, @of_file ++ @of_call)
    {of_call, of_file} = Keyword.split(options, @of_call)

    with {:ok, data} <- read(source, of_file),
         do: BeamBpy.call(target, :process_bytes, [data, steps, Map.new(of_file)], of_call)
  end

  @doc "Like `process/4`, but returns the result itself, and raises `BeamBpy.Error`."
  @spec process!(BeamBpy.target(), source(), [step()], options()) :: [term()]
  def process!(target, source, steps, options \\ []),
    do: target |> process(source, steps, options) |> Values.result!()

  @doc """
  The formats that Blender imports and exports.

      iex> :glb in BeamBpy.Assets.formats()
      true
  """
  @spec formats() :: [format(), ...]
  def formats, do: @formats

  # The options of this function, and those of `process/4`.
  defp split!(options, own) do
    options |> Keyword.validate!(own ++ @of_file ++ @of_call) |> Keyword.split(own)
  end

  defp handler_options(options, names), do: options |> Keyword.take(names) |> Map.new()

  defp read({:bytes, data}, options) when is_binary(data) do
    with :ok <- Files.check_size(data, max_bytes(options), "the content of the file"),
         do: {:ok, data}
  end

  defp read(path, options) when is_binary(path), do: Files.read(path, max_bytes(options))

  defp read(other, _options) do
    raise ArgumentError,
          "a source is a path or {:bytes, binary}, not #{Values.shown(other)}"
  end

  defp max_bytes(options) do
    case Keyword.get(options, :max_bytes, @max_bytes) do
      most when is_integer(most) and most > 0 ->
        most

      other ->
        raise ArgumentError, "the option :max_bytes cannot be #{Values.shown(other)}"
    end
  end

  # Where a result goes: nil to the caller, otherwise to a path.

  defp file_place(format) when format in @formats, do: {:ok, format, nil}

  defp file_place(path) when is_binary(path) do
    suffix = suffix(path)
    format = Enum.find(@formats, &(".#{&1}" == suffix))

    if format do
      with :ok <- Files.check_writable(path), do: {:ok, format, path}
    else
      Files.error(
        :einval,
        "the suffix of #{Values.shown(path)} is not that of a format. The suffixes are " <>
          "#{Enum.map_join(@formats, ", ", &".#{&1}")}; to get the content itself, write a format, such as :glb"
      )
    end
  end

  defp file_place(other) do
    Files.error(
      :einval,
      "#{Values.shown(other)} is neither a path nor a format. The formats are " <>
        Enum.map_join(@formats, ", ", &Kernel.inspect/1)
    )
  end

  defp picture_place(nil), do: {:ok, nil}

  defp picture_place(path) when is_binary(path) do
    if suffix(path) == ".png" do
      with :ok <- Files.check_writable(path), do: {:ok, path}
    else
      Files.error(
        :einval,
        "pictures are PNG files, so #{Values.shown(path)} has to end with .png"
      )
    end
  end

  defp picture_place(other), do: raise(ArgumentError, wrong_to(other))

  defp folder_place(nil), do: {:ok, nil}

  defp folder_place(folder) when is_binary(folder) do
    with :ok <- Files.check_folder(folder, folder), do: {:ok, folder}
  end

  defp folder_place(other), do: raise(ArgumentError, wrong_to(other))

  defp wrong_to(other), do: "the option :to has to be a path, not #{Values.shown(other)}"

  defp suffix(path), do: path |> Path.extname() |> String.downcase()

  defp pictures_in(nil, count), do: List.duplicate(nil, count)

  defp pictures_in(folder, count) do
    for number <- 1..count//1 do
      Path.join(folder, String.pad_leading("#{number}.png", 8, "0"))
    end
  end

  defp levels_of(place, count), do: numbered(place, count, "_LOD")

  defp numbered(nil, count, _mark), do: List.duplicate(nil, count)

  defp numbered(path, count, mark) do
    for number <- 1..count//1, do: "#{Path.rootname(path)}#{mark}#{number}#{Path.extname(path)}"
  end

  defp check_all(places) do
    Enum.reduce_while(places, :ok, fn place, :ok ->
      case place && Files.check_writable(place) do
        {:error, _error} = error -> {:halt, error}
        _ok -> {:cont, :ok}
      end
    end)
  end

  defp store(content, place) do
    with {:ok, [stored]} <- store_all([content], [place]), do: {:ok, stored}
  end

  defp store_all(contents, [nil | _places]), do: {:ok, contents}
  defp store_all(contents, []), do: {:ok, contents}

  defp store_all(contents, places) do
    with :ok <- places |> Enum.zip(contents) |> Files.write(), do: {:ok, places}
  end

  # With a name, the handler returns a picture. Without one, it returns a map, also for one object.
  defp store_baked(png, place) when is_binary(png), do: store(png, place)

  defp store_baked(pictures, place) do
    {names, contents} = pictures |> Enum.sort() |> Enum.unzip()

    case contents do
      [png] ->
        store(png, place)

      _several ->
        places = numbered(place, length(names), "_")

        with {:ok, stored} <- store_all(contents, places),
             do: {:ok, Map.new(Enum.zip(names, stored))}
    end
  end
end
