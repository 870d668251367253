defmodule BeamBpy.CurveTest do
  use ExUnit.Case, async: true

  alias BeamBpy.Curve

  doctest Curve

  @nan <<0, 0, 192, 127>>

  for seed <- 1..20 do
    test "keyframes/1 returns what new/2 was given (seed #{seed})" do
      :rand.seed(:exsss, {unquote(seed), 7, 8})

      keyframes =
        for _ <- 1..:rand.uniform(50), do: {:rand.uniform(9999) / 4, :rand.uniform(9999) / -8}

      curve = Curve.new!(keyframes)
      assert Curve.keyframes(curve) == keyframes
      assert Curve.new!({curve.frames, curve.values}) == curve
      assert curve |> Curve.to_map() |> Curve.from_map() == curve
    end
  end

  test "options describe the keyframes" do
    options = [
      interpolation: [:bezier, "elastic"],
      easing: :ease_in,
      type: "extreme",
      handle_left_type: :free,
      handle_right_type: ["free", "vector"],
      handle_left: [{0, 0}, {9, 1}],
      handle_right: <<0::128>>,
      amplitude: [1, 2],
      back: [0.5, 0.5],
      period: [3, 4],
      extrapolation: :linear,
      auto_smoothing: "none"
    ]

    curve = Curve.new!([{1, 0}, {10, 1}], options)
    assert curve.interpolation == ["bezier", "elastic"]
    assert {curve.easing, curve.extrapolation} == {"ease_in", "linear"}
    assert curve.amplitude == <<1.0::float-32-little, 2.0::float-32-little>>
    assert curve |> Curve.to_map() |> Curve.from_map() == curve
    assert map_size(Curve.to_map(curve)) == 14
  end

  for {fault, keyframes, options} <- [
        {"no keyframe", [], []},
        {"a keyframe without a value", [{1}], []},
        {"a value that is no number", [{1, nil}], []},
        {"a value that float32 cannot hold", [{1, 1.0e39}], []},
        {"different numbers of frames and values", {<<0::64>>, <<0::32>>}, []},
        {"incomplete binaries", {<<0::40>>, <<0::40>>}, []},
        {"an unknown option", [{1, 0}], [speed: 1]},
        {"too many words", [{1, 0}], [easing: [:auto, :auto]]},
        {"a word that is a number", [{1, 0}], [easing: 5]},
        {"a list of words for the whole curve", [{1, 0}], [extrapolation: [:linear]]},
        {"half a handle", [{1, 0}], [handle_left: [1]]},
        {"too many handles", [{1, 0}], [handle_left: [{1, 0}, {2, 0}]]},
        {"too few periods", [{1, 0}, {2, 0}], [period: [1]]}
      ] do
    test "new/2 refuses #{fault}" do
      {keyframes, options} = {unquote(Macro.escape(keyframes)), unquote(Macro.escape(options))}
      assert {:error, %ArgumentError{message: message}} = Curve.new(keyframes, options)
      assert String.length(message) > 10
      assert_raise ArgumentError, fn -> Curve.new!(keyframes, options) end
    end
  end

  test "keyframes/1 refuses numbers that no float of Elixir can hold" do
    zero = <<0::32>>

    for {frames, values} <- [{zero <> @nan, zero <> zero}, {zero <> zero, zero <> @nan}] do
      error = assert_raise ArgumentError, fn -> Curve.keyframes(Curve.new!({frames, values})) end
      assert error.message =~ "keyframe 1 "
    end
  end

  test "from_map/1 refuses what is no curve" do
    for map <- [%{}, %{"frames" => <<0::32>>}, %{"frames" => [1], "values" => [1], "speed" => 1}] do
      assert_raise ArgumentError, fn -> Curve.from_map(map) end
    end
  end

  test "from_map/1 accepts a curve with lists" do
    curve = Curve.from_map(%{"frames" => [1.0, 2.0], "values" => [0.0, 0.5]})
    assert Curve.keyframes(curve) == [{1.0, 0.0}, {2.0, 0.5}]
  end
end
