BeamBpy.TestRun.start()
ExUnit.start(exclude: BeamBpy.TestRun.excluded())
