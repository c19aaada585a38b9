-- wrk's half of bench/load.py: sends the requests of a file one after another, and prints the
-- figures as one line of JSON. NUL separates the requests of the file. Each {new} in a request
-- becomes a number that no other request has. See bench.client.

local ffi = require("ffi")
ffi.cdef([[
   struct bench_time { long seconds; long nanoseconds; };
   int clock_gettime(int clock, struct bench_time *time);
   int getpid(void);
   int kill(int process, int signal);
   int usleep(unsigned int microseconds);
]])

local CLOCK_MONOTONIC, SIGINT = 1, 2
local HANDLER_US = 100000 -- by then wrk has installed its handler of SIGINT

local requests = {}
local most, number, interval_us
local time = ffi.new("struct bench_time")
local begin_us, slot_us = 0, 0
local sent = -1 -- wrk calls request() once to look at it, and does not send that one

local function now_us()
   ffi.C.clock_gettime(CLOCK_MONOTONIC, time)
   return tonumber(time.seconds) * 1e6 + tonumber(time.nanoseconds) / 1e3
end

-- Returns the text around each {new}, with an empty place between two pieces.
local function split(text)
   local pieces, from = {}, 1
   while true do
      local first, last = text:find("{new}", from, true)
      pieces[#pieces + 1] = text:sub(from, first and first - 1)
      if not first then return pieces end
      pieces[#pieces + 1] = ""
      from = last + 1
   end
end

-- Arguments: the file; how many requests to send, or 0 for no bound; the first number; the time
-- between two requests in microseconds, or 0 for none.
function init(args)
   local file = assert(io.open(args[1], "rb"))
   for text in file:read("*a"):gmatch("%Z+") do
      requests[#requests + 1] = split(text)
   end
   file:close()
   most, number, interval_us = tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
   begin_us = now_us()
end

-- wrk's main thread sleeps until the end of the test: wake it.
local function stop()
   wrk.thread:stop()
   if now_us() < begin_us + HANDLER_US then ffi.C.usleep(HANDLER_US) end
   ffi.C.kill(ffi.C.getpid(), SIGINT)
end

-- Requests leave one by one: wrk's own delay() counts milliseconds, which sends them in groups.
local function wait()
   slot_us = math.max(slot_us + interval_us, now_us())
   while now_us() < slot_us do end
end

function request()
   if most > 0 and sent == most then stop() end
   local pieces = requests[sent % #requests + 1]
   sent = sent + 1
   if interval_us > 0 then wait() end
   if #pieces == 1 then return pieces[1] end
   local text = string.format("%012d", number)
   number = number + 1
   for place = 2, #pieces, 2 do pieces[place] = text end
   return table.concat(pieces)
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
