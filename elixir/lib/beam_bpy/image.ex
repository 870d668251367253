defmodule BeamBpy.Image do
  @moduledoc """
  An image as a binary of pixels, for the handlers `upload_image` and `download_image`.

      pixels = for y <- 0..63, x <- 0..63, into: <<>>, do: <<4 * x, 4 * y, 128>>
      image = BeamBpy.Image.new!(64, 64, 3, pixels)

      {:ok, "Ramp"} = BeamBpy.Image.upload(image, blender, "Ramp")
      {:ok, image} = BeamBpy.Image.download(blender, "Ramp")
      File.write!("ramp.png", BeamBpy.Image.to_png(image))

  The pixels are in Blender's order: row by row from the **bottom to the top**, and from left to right. There are 1
  channel (grey), 3 (red, green, blue) or 4 (with alpha). The size of the binary decides the type of the numbers, which
  `type/1` returns:

  | type | bytes per channel | |
  |---|---|---|
  | `:uint8` | 1 | as in a PNG file |
  | `:float32` | 4, little-endian | linear, and can be greater than 1.0 |

  Blender stores four channels, so a downloaded image always has four. `color_space` and `alpha_mode` are words of
  Blender, such as `"Non-Color"` and `"straight"`, or nil: then Blender chooses.

  `to_png/1` makes an image visible: `Kino.Image.new(BeamBpy.Image.to_png(image), :png)` in a Livebook, or as the body
  of an answer with the content type `image/png`.

  With Nx, `Nx.from_binary(image.pixels, :u8) |> Nx.reshape({image.height, image.width, image.channels})` is a tensor.
  For an image of the type `:float32`, write `:f32` in place of `:u8`.
  """

  alias BeamBpy.Image.PNG
  alias BeamBpy.Values

  @type t :: %__MODULE__{
          width: pos_integer(),
          height: pos_integer(),
          channels: 1 | 3 | 4,
          pixels: binary(),
          color_space: String.t() | nil,
          alpha_mode: String.t() | nil
        }

  @enforce_keys [:width, :height, :channels, :pixels]
  defstruct [:width, :height, :channels, :pixels, :color_space, :alpha_mode]

  @parts [:width, :height, :channels, :pixels, :color_space, :alpha_mode]

  @doc """
  Creates an image from a binary of pixels.

  The options are `color_space` and `alpha_mode`, words of Blender. Returns `{:error, exception}` with a sentence if the
  parts do not fit together.

      iex> {:ok, image} = BeamBpy.Image.new(2, 1, 3, <<255, 0, 0, 0, 0, 255>>)
      iex> image.pixels
      <<255, 0, 0, 0, 0, 255>>

      iex> {:error, error} = BeamBpy.Image.new(2, 2, 3, <<255, 0, 0>>)
      iex> Exception.message(error)
      "2x2 pixels of 3 channels need 12 bytes of uint8 or 48 bytes of float32, not 3 bytes"
  """
  @spec new(pos_integer(), pos_integer(), 1 | 3 | 4, binary(), keyword()) ::
          {:ok, t()} | {:error, Exception.t()}
  def new(width, height, channels, pixels, options \\ []) do
    {:ok, new!(width, height, channels, pixels, options)}
  rescue
    error in ArgumentError -> {:error, error}
  end

  @doc """
  Like `new/5`, but returns the image itself, and raises an `ArgumentError`.

      iex> BeamBpy.Image.new!(1, 1, 1, <<128>>).pixels
      <<128>>
  """
  @spec new!(pos_integer(), pos_integer(), 1 | 3 | 4, binary(), keyword()) :: t()
  def new!(width, height, channels, pixels, options \\ []) do
    options = Keyword.validate!(options, [:color_space, :alpha_mode])
    positive(width, "the width")
    positive(height, "the height")

    if channels not in [1, 3, 4] do
      raise ArgumentError, "an image has 1, 3 or 4 channels, not #{Values.shown(channels)}"
    end

    if not is_binary(pixels) do
      raise ArgumentError, "the pixels have to be a binary, not #{Values.shown(pixels)}"
    end

    image = %__MODULE__{
      width: width,
      height: height,
      channels: channels,
      pixels: pixels,
      color_space: word(options, :color_space),
      alpha_mode: word(options, :alpha_mode)
    }

    # The size is right if it belongs to a type.
    _type = type(image)
    image
  end

  @doc """
  Creates an image from the answer of the handler `download_image`, whose keys are binaries.

  Raises an `ArgumentError` if it is no image. `to_map/1` returns the same map again.

      iex> map = %{"width" => 1, "height" => 1, "channels" => 4, "pixels" => <<1, 2, 3, 255>>}
      iex> image = BeamBpy.Image.from_map(map)
      iex> BeamBpy.Image.to_map(image) == map
      true
  """
  @spec from_map(map()) :: t()
  def from_map(map) when is_map(map) do
    parts = Values.named(map, @parts, "part of an image")

    for part <- [:width, :height, :channels, :pixels], not is_map_key(parts, part) do
      raise ArgumentError, "an image needs #{part}"
    end

    options = parts |> Map.take([:color_space, :alpha_mode]) |> Map.to_list()
    new!(parts.width, parts.height, parts.channels, parts.pixels, options)
  end

  @doc """
  The image as the map that the handler `download_image` returns. Parts that are nil are left out.

      iex> image = BeamBpy.Image.new!(1, 1, 1, <<128>>)
      iex> BeamBpy.Image.to_map(image)
      %{"width" => 1, "height" => 1, "channels" => 1, "pixels" => <<128>>}
  """
  @spec to_map(t()) :: %{String.t() => term()}
  def to_map(%__MODULE__{} = image) do
    for part <- @parts, value = Map.fetch!(image, part), into: %{} do
      {Atom.to_string(part), value}
    end
  end

  @doc """
  Creates the image `name` in a Blender, or replaces its pixels. Returns the name that Blender stores.

  `target` is the first argument of `BeamBpy.call/4`. `pack: true` stores a copy in the blend file; all other options
  are those of `BeamBpy.call/4`.

      {:ok, "Ramp"} = BeamBpy.Image.upload(image, blender, "Ramp", pack: true)
  """
  @spec upload(t(), BeamBpy.target(), String.t() | atom(), keyword()) ::
          {:ok, String.t()} | {:error, BeamBpy.Error.t()}
  def upload(%__MODULE__{} = image, target, name, options \\ []) do
    {chosen, call_options} = Keyword.split(options, [:pack])
    settings = image |> to_map() |> Map.take(["color_space", "alpha_mode"])
    arguments = [name, image.width, image.height, image.channels, image.pixels]
    handler_options = Enum.into(chosen, settings, fn {:pack, pack} -> {"pack", pack} end)
    BeamBpy.call(target, :upload_image, arguments ++ [handler_options], call_options)
  end

  @doc "Like `upload/4`, but returns the name itself, and raises `BeamBpy.Error`."
  @spec upload!(t(), BeamBpy.target(), String.t() | atom(), keyword()) :: String.t()
  def upload!(%__MODULE__{} = image, target, name, options \\ []) do
    image |> upload(target, name, options) |> Values.result!()
  end

  @doc """
  Reads an image of a Blender.

  The option `type` is `:uint8` or `:float32`, by default the type of the image in Blender; all other options are those
  of `BeamBpy.call/4`.

      {:ok, image} = BeamBpy.Image.download(blender, "Ramp", type: :uint8)
  """
  @spec download(BeamBpy.target(), String.t() | atom(), keyword()) ::
          {:ok, t()} | {:error, BeamBpy.Error.t()}
  def download(target, name, options \\ []) do
    {chosen, call_options} = Keyword.split(options, [:type])

    with {:ok, map} <-
           BeamBpy.call(target, :download_image, [name, Map.new(chosen)], call_options) do
      {:ok, from_map(map)}
    end
  end

  @doc "Like `download/3`, but returns the image itself, and raises `BeamBpy.Error`."
  @spec download!(BeamBpy.target(), String.t() | atom(), keyword()) :: t()
  def download!(target, name, options \\ []) do
    target |> download(name, options) |> Values.result!()
  end

  @doc """
  The type of the numbers: `:uint8` or `:float32`. Raises an `ArgumentError` if the binary has the size of neither.

      iex> BeamBpy.Image.type(BeamBpy.Image.new!(1, 1, 1, <<0.5::float-32-little>>))
      :float32
  """
  @spec type(t()) :: :uint8 | :float32
  def type(%__MODULE__{width: width, height: height, channels: channels, pixels: pixels}) do
    count = width * height * channels

    cond do
      byte_size(pixels) == count ->
        :uint8

      byte_size(pixels) == 4 * count ->
        :float32

      true ->
        raise ArgumentError,
              "#{width}x#{height} pixels of #{channels} channels need #{count} bytes of uint8 or #{4 * count} bytes " <>
                "of float32, not #{byte_size(pixels)} bytes"
    end
  end

  @doc """
  The channels of a pixel, as a tuple. `x` counts from the left and `y` from the **bottom**, both from 0.

  The numbers are integers for `:uint8` and floats for `:float32`. Raises an `ArgumentError` if the pixel does not
  exist, or if one of its floats is infinite or nan.

      iex> image = BeamBpy.Image.new!(2, 1, 3, <<255, 0, 0, 0, 0, 255>>)
      iex> BeamBpy.Image.pixel(image, 1, 0)
      {0, 0, 255}
  """
  @spec pixel(t(), non_neg_integer(), non_neg_integer()) :: tuple()
  def pixel(%__MODULE__{width: width, height: height} = image, x, y)
      when is_integer(x) and is_integer(y) do
    if x not in 0..(width - 1) or y not in 0..(height - 1) do
      raise ArgumentError,
            "there is no pixel (#{x}, #{y}) in an image of #{width}x#{height} pixels"
    end

    type = type(image)
    size = image.channels * bytes(type)
    place = (y * width + x) * size
    bytes = binary_part(image.pixels, place, size)
    numbers = numbers(type, bytes)

    if length(numbers) != image.channels do
      rest = binary_part(image.pixels, place, byte_size(image.pixels) - place)
      raise Values.unreadable(image.pixels, rest, image.channels, "the pixel")
    end

    List.to_tuple(numbers)
  end

  @doc """
  The image as a PNG file with 8 bits per channel.

  Numbers of the type `:uint8` are written as they are. Those of the type `:float32` are linear, so they are converted to
  sRGB and limited to the range from 0.0 to 1.0; if the `alpha_mode` is `"premul"`, the colours are first divided by
  alpha. Raises an `ArgumentError` if a number is infinite or nan.

      iex> <<0x89, "PNG", _::binary>> = png = BeamBpy.Image.to_png(BeamBpy.Image.new!(1, 1, 3, <<255, 0, 0>>))
      iex> BeamBpy.Image.from_png(png)
      BeamBpy.Image.new(1, 1, 3, <<255, 0, 0>>)
  """
  @spec to_png(t()) :: binary()
  def to_png(%__MODULE__{} = image) do
    PNG.encode(image.width, image.height, image.channels, bytes_of_png(image, type(image)))
  end

  @doc """
  Creates an image from a PNG file with 8 bits per channel, in grey, RGB or RGBA and without interlacing.

  Returns `{:error, exception}` with a sentence for all other files.

      iex> {:error, error} = BeamBpy.Image.from_png("GIF89a")
      iex> Exception.message(error)
      "this is not a PNG file"
  """
  @spec from_png(binary()) :: {:ok, t()} | {:error, Exception.t()}
  def from_png(png) when is_binary(png) do
    {width, height, channels, pixels} = PNG.decode(png)
    {:ok, new!(width, height, channels, pixels)}
  rescue
    error in ArgumentError -> {:error, error}
  end

  # Check the parts

  defp positive(value, _what) when is_integer(value) and value > 0, do: :ok

  defp positive(value, what),
    do:
      raise(
        ArgumentError,
        "#{what} has to be an integer of at least 1, not #{Values.shown(value)}"
      )

  defp word(options, name), do: options[name] && Values.text(options[name], Atom.to_string(name))

  # Read numbers

  defp bytes(:uint8), do: 1
  defp bytes(:float32), do: 4

  # The list is shorter if a number is infinite or nan.
  defp numbers(:uint8, bytes), do: :binary.bin_to_list(bytes)
  defp numbers(:float32, bytes), do: for(<<number::float-32-little <- bytes>>, do: number)

  # Convert to sRGB

  defp bytes_of_png(image, :uint8), do: image.pixels

  defp bytes_of_png(image, :float32) do
    to_srgb(image.pixels, image.channels, image.alpha_mode == "premul", <<>>, image.pixels)
  end

  defp to_srgb(<<grey::float-32-little, rest::binary>>, 1, premultiplied, done, all) do
    to_srgb(rest, 1, premultiplied, <<done::binary, srgb(grey)>>, all)
  end

  defp to_srgb(
         <<r::float-32-little, g::float-32-little, b::float-32-little, rest::binary>>,
         3,
         premultiplied,
         done,
         all
       ) do
    to_srgb(rest, 3, premultiplied, <<done::binary, srgb(r), srgb(g), srgb(b)>>, all)
  end

  defp to_srgb(
         <<r::float-32-little, g::float-32-little, b::float-32-little, a::float-32-little,
           rest::binary>>,
         4,
         premultiplied,
         done,
         all
       ) do
    {r, g, b} = if premultiplied and a > 0, do: {r / a, g / a, b / a}, else: {r, g, b}
    done = <<done::binary, srgb(r), srgb(g), srgb(b), byte(a)>>
    to_srgb(rest, 4, premultiplied, done, all)
  end

  defp to_srgb(<<>>, _channels, _premultiplied, done, _all), do: done

  defp to_srgb(rest, channels, _premultiplied, _done, all),
    do: raise(Values.unreadable(all, rest, channels, "the pixel"))

  # IEC 61966-2-1, the definition of sRGB.
  defp srgb(x) when x >= 1, do: 255
  defp srgb(x) when x > 0.0031308, do: byte(1.055 * :math.pow(x, 1 / 2.4) - 0.055)
  defp srgb(x), do: byte(12.92 * x)

  defp byte(x) when x >= 1, do: 255
  defp byte(x) when x > 0, do: round(255 * x)
  defp byte(_x), do: 0
end
