defmodule BeamBpy.ImageTest do
  use ExUnit.Case, async: true

  alias BeamBpy.Image

  doctest Image

  @nan <<0, 0, 192, 127>>
  @signature <<0x89, "PNG\r\n", 0x1A, "\n">>

  defp random_image(seed) do
    :rand.seed(:exsss, {seed, 5, 6})
    {width, height, channels} = {:rand.uniform(20), :rand.uniform(20), Enum.random([1, 3, 4])}
    Image.new!(width, height, channels, :rand.bytes(width * height * channels))
  end

  defp message(width, height, channels, pixels) do
    assert {:error, %ArgumentError{message: message}} = Image.new(width, height, channels, pixels)
    message
  end

  describe "new/5" do
    test "takes the type from the size of the binary" do
      assert Image.type(Image.new!(2, 2, 4, <<0::128>>)) == :uint8
      assert Image.type(Image.new!(2, 2, 4, <<0::512>>)) == :float32
    end

    test "the type follows the pixels that the user sets" do
      image = Image.new!(1, 1, 1, <<255>>)
      image = %{image | pixels: <<1.0::float-32-little>>}
      assert {Image.type(image), Image.pixel(image, 0, 0)} == {:float32, {1.0}}
      assert {:ok, %{pixels: <<255>>}} = Image.from_png(Image.to_png(image))

      for read <- [&Image.type/1, &Image.pixel(&1, 0, 0), &Image.to_png/1] do
        assert_raise ArgumentError, fn -> read.(%{image | pixels: <<0, 0>>}) end
      end
    end

    test "takes the settings as atoms or binaries" do
      image = Image.new!(1, 1, 1, <<0>>, color_space: "Non-Color", alpha_mode: :premul)
      assert {image.color_space, image.alpha_mode} == {"Non-Color", "premul"}
      assert image |> Image.to_map() |> Image.from_map() == image
      assert {:error, %ArgumentError{}} = Image.new(1, 1, 1, <<0>>, pack: true)
    end

    for {fault, arguments} <- [
          {"a width of 0", [0, 1, 1, <<>>]},
          {"a negative height", [1, -1, 1, <<0>>]},
          {"a width with a fraction", [1.0, 1, 1, <<0>>]},
          {"two channels", [1, 1, 2, <<0, 0>>]},
          {"a wrong size", [2, 2, 1, <<0, 0, 0>>]},
          {"a list", [1, 1, 3, [0, 0, 0]]}
        ] do
      test "refuses #{fault}" do
        [width, height, channels, pixels] = unquote(Macro.escape(arguments))
        assert String.length(message(width, height, channels, pixels)) > 10
        assert_raise ArgumentError, fn -> Image.new!(width, height, channels, pixels) end
      end
    end

    test "the pixels are not copied" do
      pixels = :binary.copy(<<7>>, 400)
      assert :erts_debug.same(Image.new!(10, 10, 4, pixels).pixels, pixels)
    end
  end

  test "from_map/1 refuses what is no image" do
    for map <- [%{}, %{"width" => 1, "height" => 1, "channels" => 1}, %{"vertices" => ""}] do
      assert_raise ArgumentError, fn -> Image.from_map(map) end
    end
  end

  describe "pixel/3" do
    test "counts from the left and from the bottom" do
      pixels = for y <- 0..2, x <- 0..3, into: <<>>, do: <<x, y, 9>>
      image = Image.new!(4, 3, 3, pixels)
      for y <- 0..2, x <- 0..3, do: assert(Image.pixel(image, x, y) == {x, y, 9})
    end

    test "returns floats of an image of the type float32" do
      assert Image.pixel(Image.new!(1, 1, 1, <<2.5::float-32-little>>), 0, 0) == {2.5}
    end

    test "refuses pixels that do not exist" do
      image = Image.new!(2, 1, 1, <<0, 0>>)

      for {x, y} <- [{2, 0}, {0, 1}, {-1, 0}, {0, -1}],
          do: assert_raise(ArgumentError, fn -> Image.pixel(image, x, y) end)
    end

    test "refuses numbers that no float of Elixir can hold, and only those" do
      zero = <<0::32>>

      image =
        Image.new!(
          3,
          1,
          4,
          IO.iodata_to_binary([List.duplicate(zero, 6), @nan, List.duplicate(zero, 5)])
        )

      assert Image.pixel(image, 0, 0) == {0.0, 0.0, 0.0, 0.0}
      assert Image.pixel(image, 2, 0) == {0.0, 0.0, 0.0, 0.0}
      error = assert_raise ArgumentError, fn -> Image.pixel(image, 1, 0) end
      assert error.message =~ "pixel 1 "
      error = assert_raise ArgumentError, fn -> Image.to_png(image) end
      assert error.message =~ "pixel 1 "
    end
  end

  describe "to_png/1 and from_png/1" do
    for seed <- 1..30 do
      test "return the same pixels (seed #{seed})" do
        image = random_image(unquote(seed))
        assert Image.from_png(Image.to_png(image)) == {:ok, image}
      end
    end

    test "converts linear numbers to sRGB" do
      floats = fn numbers ->
        for number <- numbers, into: <<>>, do: <<number::float-32-little>>
      end

      image = Image.new!(4, 1, 1, floats.([-1.0, 0.002, 0.2158605, 7.5]))
      assert {:ok, %{pixels: <<0, 7, 128, 255>>}} = Image.from_png(Image.to_png(image))

      image = Image.new!(1, 1, 4, floats.([0.2158605, 1.0, 0.0, 0.5]))
      assert {:ok, %{pixels: <<128, 255, 0, 128>>}} = Image.from_png(Image.to_png(image))

      image =
        Image.new!(2, 1, 4, floats.([0.10793025, 0.5, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0]),
          alpha_mode: :premul
        )

      assert {:ok, %{pixels: <<128, 255, 0, 128, 0::32>>}} = Image.from_png(Image.to_png(image))

      image = Image.new!(1, 1, 3, floats.([1.0, 0.0, 0.2158605]))
      assert {:ok, %{pixels: <<255, 0, 128>>}} = Image.from_png(Image.to_png(image))
    end
  end

  describe "from_png/1" do
    # Each filter of the recommendation in its direct form: with lists, and with a look at each neighbour.
    defp filtered(filter, row, above, channels) do
      for {byte, place} <- Enum.with_index(row), into: <<filter>> do
        left = if place < channels, do: 0, else: Enum.at(row, place - channels)
        above_left = if place < channels, do: 0, else: Enum.at(above, place - channels)
        <<byte - predicted(filter, left, Enum.at(above, place), above_left)>>
      end
    end

    defp predicted(0, _a, _b, _c), do: 0
    defp predicted(1, a, _b, _c), do: a
    defp predicted(2, _a, b, _c), do: b
    defp predicted(3, a, b, _c), do: floor((a + b) / 2)
    defp predicted(4, a, b, c), do: Enum.min_by([a, b, c], &abs(a + b - c - &1))

    defp file(image, data, changes \\ []) do
      color = %{1 => 0, 3 => 2, 4 => 6}[image.channels]

      header =
        Keyword.get(changes, :header, <<image.width::32, image.height::32, 8, color, 0, 0, 0>>)

      parts = Keyword.get(changes, :parts, [])
      chunks = [{"IHDR", header}] ++ parts ++ data ++ [{"IEND", ""}]
      IO.iodata_to_binary([@signature | Enum.map(chunks, &chunk/1)])
    end

    defp chunk({type, data}),
      do: [<<byte_size(data)::32>>, type, data, <<:erlang.crc32([type, data])::32>>]

    defp rows(image) do
      image.pixels
      |> :binary.bin_to_list()
      |> Enum.chunk_every(image.width * image.channels)
      |> Enum.reverse()
    end

    for filter <- [0, 1, 2, 3, 4, :all], seed <- 1..8 do
      test "reads rows with the filter #{filter} (seed #{seed})" do
        image = random_image(100 + unquote(seed))
        rows = rows(image)
        zeros = List.duplicate(0, length(hd(rows)))

        data =
          for {row, above} <- Enum.zip(rows, [zeros | rows]) do
            filter = if unquote(filter) == :all, do: Enum.random(0..4), else: unquote(filter)
            filtered(filter, row, above, image.channels)
          end

        compressed = :zlib.compress(data)
        half = div(byte_size(compressed), 2)
        <<first::binary-size(half), second::binary>> = compressed

        assert Image.from_png(file(image, [{"IDAT", first}, {"IDAT", second}])) == {:ok, image}

        assert Image.from_png(
                 file(image, [{"IDAT", compressed}], parts: [{"gAMA", <<45_455::32>>}])
               ) ==
                 {:ok, image}
      end
    end

    test "refuses other kinds of PNG files" do
      image = Image.new!(1, 1, 1, <<0>>)
      data = [{"IDAT", :zlib.compress(<<0, 0>>)}]

      for {depth, color, interlace} <- [{16, 0, 0}, {8, 3, 0}, {8, 4, 0}, {1, 0, 0}, {8, 0, 1}] do
        header = <<1::32, 1::32, depth, color, 0, 0, interlace>>

        assert {:error, %ArgumentError{message: message}} =
                 Image.from_png(file(image, data, header: header))

        assert message =~ "colour type #{color}"
      end

      transparent = file(image, data, parts: [{"tRNS", <<0, 0>>}])
      assert {:error, %ArgumentError{message: message}} = Image.from_png(transparent)
      assert message =~ "tRNS"
    end

    test "refuses damaged files" do
      image = random_image(7)
      png = Image.to_png(image)

      for size <- 0..(byte_size(png) - 1)//7 do
        assert {:error, %ArgumentError{}} = Image.from_png(binary_part(png, 0, size))
      end

      for place <- 8..(byte_size(png) - 13) do
        <<before::binary-size(place), byte, rest::binary>> = png

        assert {:error, %ArgumentError{}} =
                 Image.from_png(<<before::binary, Bitwise.bxor(byte, 1), rest::binary>>)
      end
    end

    test "refuses a wrong amount of data" do
      image = Image.new!(2, 2, 1, <<0::32>>)

      for data <- [
            <<>>,
            <<0::40>>,
            <<0::56>>,
            <<5, 0, 0, 0, 0, 0>>,
            :binary.copy(<<0>>, 1_000_000)
          ] do
        assert {:error, %ArgumentError{}} =
                 Image.from_png(file(image, [{"IDAT", :zlib.compress(data)}]))
      end

      assert {:error, %ArgumentError{}} = Image.from_png(file(image, []))
      assert {:error, %ArgumentError{}} = Image.from_png(file(image, [{"IDAT", "no zlib"}]))
      assert {:error, %ArgumentError{}} = Image.from_png(file(image, [], header: <<0::104>>))
    end
  end
end
