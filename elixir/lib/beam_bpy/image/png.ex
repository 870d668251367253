defmodule BeamBpy.Image.PNG do
  @moduledoc false
  # PNG files with 8 bits per channel, as in the W3C recommendation "Portable Network Graphics, third edition". Rows are
  # in order from the bottom to the top here, and from the top to the bottom in a file.

  @signature <<0x89, "PNG\r\n", 0x1A, "\n">>
  @color_types %{1 => 0, 3 => 2, 4 => 6}
  @channels %{0 => 1, 2 => 3, 6 => 4}

  @doc "The file with these pixels: uint8, `channels` of them for each pixel."
  @spec encode(pos_integer(), pos_integer(), 1 | 3 | 4, binary()) :: binary()
  def encode(width, height, channels, pixels) do
    size = width * channels
    # Each row begins with the number of its filter; 0 is no filter.
    rows = for row <- (height - 1)..0//-1, do: [0, binary_part(pixels, row * size, size)]
    header = <<width::32, height::32, 8, @color_types[channels], 0, 0, 0>>

    IO.iodata_to_binary([
      @signature,
      chunk("IHDR", header),
      chunk("IDAT", :zlib.compress(rows)),
      chunk("IEND", "")
    ])
  end

  @doc "The width, the height, the channels and the pixels of a file. Raises an `ArgumentError` with a sentence."
  @spec decode(binary()) :: {pos_integer(), pos_integer(), 1 | 3 | 4, binary()}
  def decode(<<@signature, chunks::binary>>) do
    chunks = chunks(chunks)
    {width, height, channels} = header(chunks)
    refuse_transparent_color(chunks)
    data = for {"IDAT", data} <- chunks, do: data
    rows = inflate(data, height * (1 + width * channels))
    {width, height, channels, pixels(rows, width * channels, channels)}
  end

  def decode(_other), do: raise(ArgumentError, "this is not a PNG file")

  # Chunks

  defp chunk(type, data) do
    data = IO.iodata_to_binary(data)
    [<<byte_size(data)::32>>, type, data, <<:erlang.crc32([type, data])::32>>]
  end

  defp chunks(<<0::32, "IEND", _crc::32, _rest::binary>>), do: []

  defp chunks(<<size::32, type::binary-size(4), data::binary-size(size), crc::32, rest::binary>>) do
    if :erlang.crc32([type, data]) == crc, do: [{type, data} | chunks(rest)], else: damaged()
  end

  defp chunks(_other), do: damaged()

  defp header([{"IHDR", <<width::32, height::32, 8, color, 0, 0, 0>>} | _])
       when is_map_key(@channels, color) and width > 0 and height > 0 do
    {width, height, @channels[color]}
  end

  defp header([{"IHDR", <<_size::64, depth, color, _compression, _filter, interlace>>} | _]) do
    raise ArgumentError,
          "the PNG file has the bit depth #{depth}, the colour type #{color} and the interlace method #{interlace}, " <>
            "but only files with the bit depth 8, the colour types 0 (grey), 2 (RGB) and 6 (RGBA) and no interlacing " <>
            "can be read"
  end

  defp header(_other), do: damaged()

  defp refuse_transparent_color(chunks) do
    if List.keymember?(chunks, "tRNS", 0) do
      raise ArgumentError,
            "the PNG file makes one colour transparent (the chunk tRNS), which cannot be read: save it as RGBA"
    end
  end

  # A small file can inflate to gigabytes, so this function stops at the expected size.
  defp inflate(data, size) do
    zlib = :zlib.open()

    try do
      :ok = :zlib.inflateInit(zlib)
      rows = zlib |> inflated(:zlib.safeInflate(zlib, data), [], size) |> IO.iodata_to_binary()
      if byte_size(rows) == size, do: rows, else: damaged()
    rescue
      ErlangError -> damaged()
    after
      :zlib.close(zlib)
    end
  end

  defp inflated(zlib, {:continue, output}, done, left) do
    left = left - IO.iodata_length(output)

    if left < 0,
      do: damaged(),
      else: inflated(zlib, :zlib.safeInflate(zlib, []), [done | output], left)
  end

  defp inflated(_zlib, {:finished, output}, done, _left), do: [done | output]

  @spec damaged() :: no_return()
  defp damaged, do: raise(ArgumentError, "the PNG file is damaged or incomplete")

  # Filters

  defp pixels(rows, size, channels) do
    zeros = :binary.copy(<<0>>, size)
    rows |> unfiltered(size, channels, zeros, []) |> IO.iodata_to_binary()
  end

  # The last row of the file comes first in the result.
  defp unfiltered(<<>>, _size, _channels, _above, done), do: done

  defp unfiltered(<<filter, rest::binary>>, size, channels, above, done) do
    <<row::binary-size(size), rest::binary>> = rest
    none = List.duplicate(0, channels)
    row = unfilter(filter, row, above, none, none, <<>>)
    unfiltered(rest, size, channels, row, [row | done])
  end

  # `left` and `above_left` are queues of the channels of the pixel to the left: their head belongs to the next byte.
  defp unfilter(0, row, _above, _left, _above_left, _done), do: row
  defp unfilter(_filter, <<>>, <<>>, _left, _above_left, done), do: done

  defp unfilter(
         filter,
         <<byte, row::binary>>,
         <<b, above::binary>>,
         [a | left],
         [c | above_left],
         done
       ) do
    byte = rem(byte + predicted(filter, a, b, c), 256)
    unfilter(filter, row, above, left ++ [byte], above_left ++ [b], <<done::binary, byte>>)
  end

  defp predicted(1, a, _b, _c), do: a
  defp predicted(2, _a, b, _c), do: b
  defp predicted(3, a, b, _c), do: div(a + b, 2)

  defp predicted(4, a, b, c) do
    # The distances of a, b and c from a + b - c.
    {to_a, to_b, to_c} = {abs(b - c), abs(a - c), abs(a + b - 2 * c)}

    cond do
      to_a <= to_b and to_a <= to_c -> a
      to_b <= to_c -> b
      true -> c
    end
  end

  defp predicted(_filter, _a, _b, _c), do: damaged()
end
