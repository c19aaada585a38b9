-- wrk's half of bench/load.py: sends the requests of a file, byte for byte, one after another, and
-- prints the figures as one line of JSON. The file's requests are separated by NUL; with "once" it
-- stops at their end.

local requests = {}
local at = 0
local once = false

function init(args)
   local file = assert(io.open(args[1], "rb"))
   for text in file:read("*a"):gmatch("%Z+") do
      requests[#requests + 1] = text
   end
   file:close()
   once = args[2] == "once"
end

function request()
   if once and at == #requests then wrk.thread:stop() end
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency, _)
   local errors = summary.errors
   print(string.format(
      'FIGURES {"requests":%d,"bytes":%d,"seconds":%.6f,"p50_us":%.1f,"p99_us":%.1f,' ..
      '"broken":%d,"statuses_from_400":%d}',
      summary.requests, summary.bytes, summary.duration / 1e6,
      latency:percentile(50), latency:percentile(99),
      errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
