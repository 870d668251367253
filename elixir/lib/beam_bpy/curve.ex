defmodule BeamBpy.Curve do
  @moduledoc """
  An animation curve (in Blender an F-curve): the keyframes of one property, for the handlers `set_fcurve` and
  `get_fcurve`.

      curve = BeamBpy.Curve.new!(for frame <- 1..250, do: {frame, :math.sin(frame / 10)})

      {:ok, 250} = BeamBpy.Curve.set(curve, blender, "Cube", "location", 2)
      {:ok, curve} = BeamBpy.Curve.get(blender, "Cube", "location", 2)

  `frames` and `values` are binaries of little-endian float32, one number for each keyframe. The other fields describe
  the keyframes in Blender's words, and are nil for Blender's default:

  | field | |
  |---|---|
  | `interpolation`, `easing`, `type`, `handle_left_type`, `handle_right_type` | a word for all keyframes, or a list with a word for each |
  | `handle_left`, `handle_right` | float32, two for each keyframe: the frame and the value of its handle |
  | `amplitude`, `back`, `period` | float32, one for each keyframe |
  | `extrapolation`, `auto_smoothing` | a word for the whole curve |

  Words are binaries, such as `"bezier"`. `new/2` accepts atoms, too. The keyframes are linear if `interpolation` is
  nil.

  With Nx, `Nx.from_binary(curve.values, :f32)` is a tensor.
  """

  alias BeamBpy.Values

  @type words :: String.t() | [String.t()] | nil

  @type t :: %__MODULE__{
          frames: binary(),
          values: binary(),
          interpolation: words(),
          easing: words(),
          type: words(),
          handle_left_type: words(),
          handle_right_type: words(),
          handle_left: binary() | nil,
          handle_right: binary() | nil,
          amplitude: binary() | nil,
          back: binary() | nil,
          period: binary() | nil,
          extrapolation: String.t() | nil,
          auto_smoothing: String.t() | nil
        }

  @words [:interpolation, :easing, :type, :handle_left_type, :handle_right_type]
  @handles [:handle_left, :handle_right]
  @numbers [:amplitude, :back, :period]
  @curve_words [:extrapolation, :auto_smoothing]
  @options @words ++ @handles ++ @numbers ++ @curve_words

  @enforce_keys [:frames, :values]
  defstruct [:frames, :values | @options]

  @doc """
  Creates a curve from its keyframes: an enumerable of `{frame, value}`, or a tuple of two binaries.

  The options are the other fields of the struct. Returns `{:error, exception}` with a sentence if the parts do not fit
  together.

      iex> {:ok, curve} = BeamBpy.Curve.new([{1, 0.0}, {10, 2.5}], interpolation: :bezier)
      iex> curve.interpolation
      "bezier"

      iex> {:error, error} = BeamBpy.Curve.new([{1, 0.0}, {10, "high"}])
      iex> Exception.message(error)
      "element 1 of the keyframes has to be a tuple of 2 values of the type float32, not {10, \\"high\\"}"
  """
  @spec new(Enumerable.t() | {binary(), binary()}, keyword()) ::
          {:ok, t()} | {:error, Exception.t()}
  def new(keyframes, options \\ []) do
    {:ok, new!(keyframes, options)}
  rescue
    error in ArgumentError -> {:error, error}
  end

  @doc """
  Like `new/2`, but returns the curve itself, and raises an `ArgumentError`.

      iex> BeamBpy.Curve.new!([{1, 0.5}]).values
      <<0.5::float-32-little>>
  """
  @spec new!(Enumerable.t() | {binary(), binary()}, keyword()) :: t()
  def new!(keyframes, options \\ []) do
    {frames, values} = split(keyframes)

    options
    |> Values.named(@options, "option of a curve")
    |> Map.merge(%{frames: frames, values: values})
    |> build()
  end

  @doc """
  Creates a curve from the answer of the handler `get_fcurve`, whose keys are binaries.

  Raises an `ArgumentError` if it is no curve. `to_map/1` returns the same map again.

      iex> map = %{"frames" => <<1.0::float-32-little>>, "values" => <<0.5::float-32-little>>, "easing" => "ease_in"}
      iex> curve = BeamBpy.Curve.from_map(map)
      iex> BeamBpy.Curve.to_map(curve) == map
      true
  """
  @spec from_map(map()) :: t()
  def from_map(map) when is_map(map) do
    map |> Values.named([:frames, :values | @options], "part of a curve") |> build()
  end

  @doc """
  The curve as the map that the handler `get_fcurve` returns. Fields that are nil are left out.

      iex> BeamBpy.Curve.to_map(BeamBpy.Curve.new!([{1, 0}]))
      %{"frames" => <<1.0::float-32-little>>, "values" => <<0.0::float-32-little>>}
  """
  @spec to_map(t()) :: %{String.t() => term()}
  def to_map(%__MODULE__{} = curve) do
    for {part, value} <- Map.from_struct(curve), value != nil, into: %{} do
      {Atom.to_string(part), value}
    end
  end

  @doc """
  Replaces all keyframes of a property in a Blender. Returns the number of keyframes.

  `target` is the first argument of `BeamBpy.call/4`, and `options` are those of `BeamBpy.call/4`. `name` is the object,
  `path` its property, and `index` the number in a vector, such as 2 for the height of `"location"`; 0 for a property of
  one number.
  """
  @spec set(t(), BeamBpy.target(), String.t(), String.t(), non_neg_integer(), keyword()) ::
          {:ok, non_neg_integer()} | {:error, BeamBpy.Error.t()}
  def set(%__MODULE__{} = curve, target, name, path, index, options \\ []) do
    {keyframes, settings} = curve |> to_map() |> Map.split(["frames", "values"])
    arguments = [name, path, index, keyframes["frames"], keyframes["values"], settings]
    BeamBpy.call(target, :set_fcurve, arguments, options)
  end

  @doc "Like `set/6`, but returns the number itself, and raises `BeamBpy.Error`."
  @spec set!(t(), BeamBpy.target(), String.t(), String.t(), non_neg_integer(), keyword()) ::
          non_neg_integer()
  def set!(%__MODULE__{} = curve, target, name, path, index, options \\ []) do
    curve |> set(target, name, path, index, options) |> Values.result!()
  end

  @doc "Reads all keyframes of a property in a Blender. The arguments are those of `set/6`."
  @spec get(BeamBpy.target(), String.t(), String.t(), non_neg_integer(), keyword()) ::
          {:ok, t()} | {:error, BeamBpy.Error.t()}
  def get(target, name, path, index, options \\ []) do
    with {:ok, map} <- BeamBpy.call(target, :get_fcurve, [name, path, index], options) do
      {:ok, from_map(map)}
    end
  end

  @doc "Like `get/5`, but returns the curve itself, and raises `BeamBpy.Error`."
  @spec get!(BeamBpy.target(), String.t(), String.t(), non_neg_integer(), keyword()) :: t()
  def get!(target, name, path, index, options \\ []) do
    target |> get(name, path, index, options) |> Values.result!()
  end

  @doc """
  The keyframes, as a list of `{frame, value}`.

  Raises an `ArgumentError` at a number that is infinite or nan.

      iex> BeamBpy.Curve.keyframes(BeamBpy.Curve.new!([{1, 0}, {2.5, 10}]))
      [{1.0, 0.0}, {2.5, 10.0}]
  """
  @spec keyframes(t()) :: [{float(), float()}]
  def keyframes(%__MODULE__{frames: frames, values: values}) do
    Enum.zip(numbers(frames, "the frame of keyframe"), numbers(values, "the value of keyframe"))
  end

  defp numbers(binary, what) do
    Stream.unfold(binary, fn
      <<number::float-32-little, rest::binary>> -> {number, rest}
      <<>> -> nil
      rest -> raise Values.unreadable(binary, rest, 1, what)
    end)
  end

  defp split({frames, values}), do: {frames, values}

  defp split(keyframes) do
    packed = Values.pack(keyframes, :float32, 2, "the keyframes")

    {for(<<frame::binary-size(4), _value::32 <- packed>>, into: <<>>, do: frame),
     for(<<_frame::32, value::binary-size(4) <- packed>>, into: <<>>, do: value)}
  end

  # Check the parts

  defp build(parts) do
    for part <- [:frames, :values], not is_map_key(parts, part) do
      raise ArgumentError, "a curve needs #{part}"
    end

    curve =
      struct!(__MODULE__, Map.new(parts, fn {part, value} -> {part, checked(part, value)} end))

    check_counts(curve, Values.count(curve.frames, :float32, 1))
    curve
  end

  defp checked(part, value) when part in @words and is_list(value) do
    Enum.map(value, &Values.text(&1, "each of #{part}"))
  end

  defp checked(part, value) when part in @words or part in @curve_words do
    Values.text(value, Atom.to_string(part))
  end

  defp checked(part, value) do
    Values.pack(value, :float32, width(part), Atom.to_string(part))
  end

  defp width(part) when part in @handles, do: 2
  defp width(_part), do: 1

  defp check_counts(_curve, 0), do: raise(ArgumentError, "a curve needs at least one keyframe")

  defp check_counts(curve, count) do
    for part <- [:values | @handles ++ @numbers], values = Map.fetch!(curve, part) do
      Values.check_count(values, :float32, width(part), count, {"#{part}", "keyframes"})
    end

    for part <- @words, words = Map.fetch!(curve, part), is_list(words), length(words) != count do
      raise ArgumentError, "#{part} has #{length(words)} words, but there are #{count} keyframes"
    end
  end
end
