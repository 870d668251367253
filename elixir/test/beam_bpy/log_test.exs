defmodule BeamBpy.LogTest do
  # An operator reads these lines when something fails. Other tests do not run at the same time: they log failures, too.
  use BeamBpy.Case

  @moduletag :capture_log

  import BeamBpy.Workers
  import ExUnit.CaptureLog

  alias BeamBpy.Error

  describe "a pool whose Blenders cannot start" do
    test "gives callers the reason, and continues when they can", %{folder: folder} do
      file = handlers_file(folder, "raise KeyError('the reason')")

      log =
        capture_log(fn ->
          pool = start_pool(handlers: [file], max: 2)
          calls = for _ <- 1..5, do: Task.async(fn -> BeamBpy.call(pool, :echo, [1]) end)

          for call <- calls do
            assert {:error, %Error{kind: :not_connected} = error} = Task.await(call, 30_000)
            assert error.text =~ "the reason"
            assert error.function == "Blender.echo/1"
          end

          File.cp!(handlers(), file)
          eventually(fn -> BeamBpy.call(pool, :echo, [1]) == {:ok, 1} end)
        end)

      assert log =~ "the reason"
      refute log =~ "GenServer"
      refute log =~ "Supervisor"
    end

    test "does not fill the log", %{folder: folder} do
      log =
        capture_log(fn ->
          pool = start_pool(command: {:python, Path.join(folder, "none")})
          assert {:error, %Error{kind: :not_connected}} = BeamBpy.call(pool, :echo, [1])
        end)

      assert [_one] = Regex.scan(~r/\[error\]/, log)
    end
  end

  test "a crash is one line in the log, and so is a call that took too long" do
    pool = start_pool()
    wait_until_idle(pool)

    for {call, expected} <- [
          {fn -> BeamBpy.call(pool, :abort) end, "SIGABRT"},
          {fn -> BeamBpy.call(pool, :wait, [60], timeout: 200) end, "took too long"}
        ] do
      log =
        capture_log([level: :warning], fn ->
          assert {:error, _error} = call.()
          wait_until_idle(pool)
        end)

      assert [line] =
               log |> String.split("\n") |> Enum.reject(&(String.trim(&1) in ["", "\e[0m"]))

      assert line =~ expected
    end
  end
end
