defmodule BeamBpy.Values do
  @moduledoc false
  # Functions that `BeamBpy.Mesh`, `BeamBpy.Image` and `BeamBpy.Curve` share: for maps with known keys, and for binaries of
  # little-endian numbers. Each raises an `ArgumentError` whose message is a sentence for the user.

  @typedoc "How Blender stores a number."
  @type number_type :: :float32 | :int32 | :int16 | :int8 | :boolean

  @bytes %{float32: 4, int32: 4, int16: 2, int8: 1, boolean: 1}
  @largest_float 3.4028234663852886e38

  @doc "A map of the given parts with atom keys. Keys are atoms or binaries; parts that are nil are left out."
  @spec named(Enumerable.t(), [atom()], String.t()) :: %{atom() => term()}
  def named(given, allowed, what) do
    keys = Map.new(allowed, &{Atom.to_string(&1), &1})

    for {name, value} <- pairs(given, what),
        key = Map.get(keys, name) || raise(ArgumentError, unknown(name, what, allowed)),
        value != nil,
        into: %{},
        do: {key, value}
  end

  @doc "The pairs of a map or a keyword list. Names become binaries."
  @spec pairs(Enumerable.t(), String.t()) :: [{String.t(), term()}]
  def pairs(given, _what) when is_map(given) and not is_struct(given) do
    Enum.map(given, fn {name, value} -> {text(name, "a key"), value} end)
  end

  def pairs(given, what) do
    if Keyword.keyword?(given) do
      Enum.map(given, fn {name, value} -> {Atom.to_string(name), value} end)
    else
      raise ArgumentError,
            "expected a map or a keyword list with each #{what}, not #{shown(given)}"
    end
  end

  @doc "A name or another word as a binary."
  @spec text(term(), String.t()) :: String.t()
  def text(value, _what) when is_binary(value), do: value

  def text(value, _what) when is_atom(value) and value not in [nil, true, false],
    do: Atom.to_string(value)

  def text(value, what),
    do: raise(ArgumentError, "#{what} has to be a binary or an atom, not #{shown(value)}")

  @doc "A list, or an `ArgumentError` that says that `what` has to be one."
  @spec list(term(), String.t()) :: list()
  def list(value, _what) when is_list(value), do: value
  def list(value, what), do: raise(ArgumentError, "#{what} has to be a list, not #{shown(value)}")

  @doc "Checks that a value is enumerable and has an order: `sentence` says what it has to be."
  @spec check_enumerable(term(), String.t()) :: :ok
  def check_enumerable(value, sentence) do
    # A map without a struct is enumerable, but its pairs have no order.
    if is_list(value) or is_function(value, 2) or
         (is_struct(value) and Enumerable.impl_for(value) != nil) do
      :ok
    else
      raise ArgumentError, "#{sentence}, not #{shown(value)}"
    end
  end

  @doc """
  The numbers as a binary, `width` of them for each element.

  A binary is returned as it is. Every other enumerable contains tuples or lists of `width` numbers, or the numbers
  themselves.
  """
  @spec pack(binary() | Enumerable.t(), number_type(), pos_integer(), String.t()) :: binary()
  def pack(values, type, width, what) when is_binary(values) do
    check_multiple(values, type, width, what)
  end

  def pack(values, type, width, what) do
    check_enumerable(values, "#{what} has to be a binary of #{type}, or a list of numbers")

    values
    |> Enum.reduce(<<>>, &append(&2, &1, type, width, what))
    |> check_multiple(type, width, what)
  end

  @doc "The number of elements of `width` numbers in a binary; 0 for nil."
  @spec count(binary() | nil, number_type(), pos_integer()) :: non_neg_integer()
  def count(nil, _type, _width), do: 0
  def count(binary, type, width), do: div(byte_size(binary), @bytes[type] * width)

  @doc "Checks that a binary has `width` numbers for each of `size` elements. The last argument names both for the error."
  @spec check_count(
          binary(),
          number_type(),
          pos_integer(),
          non_neg_integer(),
          {String.t(), String.t()}
        ) :: :ok
  def check_count(binary, type, width, size, {what, element}) do
    if byte_size(binary) == @bytes[type] * width * size do
      :ok
    else
      raise ArgumentError,
            "#{what} has #{count(binary, type, 1)} numbers, but needs #{width} for each of #{size} #{element}"
    end
  end

  @doc "Checks that each index in a binary of int32 is below `size`."
  @spec check_indices(binary() | nil, non_neg_integer(), String.t()) :: :ok
  def check_indices(nil, _size, _what), do: :ok

  def check_indices(indices, size, what) do
    case outside(indices, size) do
      nil ->
        :ok

      index ->
        raise ArgumentError,
              "#{what} uses vertex #{index}, but there are #{size} vertices, numbered from 0"
    end
  end

  @doc "A finite number that float32 can hold."
  defguard is_float32(number)
           when is_number(number) and number <= @largest_float and number >= -@largest_float

  @doc "The error for a number that Elixir cannot read. `rest` begins with the element that contains it."
  @spec unreadable(binary(), binary(), pos_integer(), String.t()) :: Exception.t()
  def unreadable(binary, rest, width, what) do
    place = div(byte_size(binary) - byte_size(rest), @bytes.float32 * width)

    if byte_size(rest) < @bytes.float32 * width do
      ArgumentError.exception("#{what} #{place} is incomplete: it has #{byte_size(rest)} bytes")
    else
      ArgumentError.exception(
        "#{what} #{place} contains a number that is infinite or nan, which no float of Elixir can hold"
      )
    end
  end

  @doc "The value of a successful call; raises the error of a failed one."
  @spec result!({:ok, value} | {:error, Exception.t()}) :: value when value: term()
  def result!({:ok, value}), do: value
  def result!({:error, error}), do: raise(error)

  @doc "A value for an error message, cut to a length that can be read."
  @spec shown(term()) :: String.t()
  def shown(value) do
    inspect(value, limit: 8, printable_limit: 60)
  end

  defp append(binary, element, type, width, what) do
    appended =
      case element do
        numbers when is_tuple(numbers) and tuple_size(numbers) == width ->
          append_all(Tuple.to_list(numbers), binary, type)

        numbers when is_list(numbers) and length(numbers) == width ->
          append_all(numbers, binary, type)

        number ->
          put(binary, type, number)
      end

    appended || raise ArgumentError, wrong(binary, element, type, width, what)
  end

  defp append_all([], binary, _type), do: binary

  # A match of the binary, such as `with <<binary::binary>> <- ...`, would make each append copy it.
  defp append_all([number | numbers], binary, type) do
    case put(binary, type, number) do
      nil -> nil
      binary -> append_all(numbers, binary, type)
    end
  end

  # The binary with one more number, or nil if the number does not fit the type.
  defp put(binary, :float32, x) when is_float32(x), do: <<binary::binary, x::float-32-little>>

  defp put(binary, :int32, n) when is_integer(n) and n >= -0x80000000 and n <= 0x7FFFFFFF,
    do: <<binary::binary, n::32-little>>

  defp put(binary, :int16, n) when is_integer(n) and n >= -0x8000 and n <= 0x7FFF,
    do: <<binary::binary, n::16-little>>

  defp put(binary, :int8, n) when is_integer(n) and n >= -0x80 and n <= 0x7F,
    do: <<binary::binary, n>>

  defp put(binary, :boolean, flag) when flag in [true, 1], do: <<binary::binary, 1>>
  defp put(binary, :boolean, flag) when flag in [false, 0], do: <<binary::binary, 0>>
  defp put(_binary, _type, _value), do: nil

  defp wrong(binary, element, type, width, what) do
    place = div(byte_size(binary), @bytes[type] * width)
    values = if width == 1, do: "a value", else: "a tuple of #{width} values"
    "element #{place} of #{what} has to be #{values} of the type #{type}, not #{shown(element)}"
  end

  defp check_multiple(binary, type, width, what) do
    case rem(byte_size(binary), @bytes[type] * width) do
      0 ->
        binary

      _ ->
        raise ArgumentError,
              "#{what} has #{byte_size(binary)} bytes, which is not a multiple of " <>
                "#{@bytes[type] * width} (#{width} #{type})"
    end
  end

  # The first index that is not below `size`, or nil. A negative number is large if it is read without its sign.
  defp outside(
         <<a::32-little, b::32-little, c::32-little, d::32-little, rest::binary>>,
         size
       )
       when a < size and b < size and c < size and d < size,
       do: outside(rest, size)

  defp outside(<<index::32-little, rest::binary>>, size) when index < size,
    do: outside(rest, size)

  defp outside(<<index::signed-32-little, _rest::binary>>, _size), do: index
  defp outside(<<>>, _size), do: nil

  defp unknown(name, what, allowed) do
    "no #{what} #{inspect(name)}; there are: #{allowed |> Enum.sort() |> Enum.join(", ")}"
  end
end
