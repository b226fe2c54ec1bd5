-- What wrk has counted, for the benchmark to read: totals (requests, microseconds, bytes), errors (connect,
-- read, write, status, timeout), then each latency in microseconds with the number of times it came. wrk
-- runs no line of this before its end.
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("totals %d %d %d\n", summary.requests, summary.duration, summary.bytes))
  io.write(string.format("errors %d %d %d %d %d\n",
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
  for index = 1, #latency do
    io.write(string.format("latency %d %d\n", latency(index)))
  end
end
