BeamBpy.TestRun.start()
ExUnit.start(capture_log: true, exclude: BeamBpy.TestRun.excluded())
