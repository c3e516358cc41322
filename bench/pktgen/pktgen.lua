-- Makes Pktgen answer the commands of a measurement: see generators.py. Written by pktgen.py from a template, with
-- names in @ replaced. Sends on port 0, receives on port 1.
local commands = assert(io.open("@COMMANDS@", "r"))

local function answer(text)
    local answers = assert(io.open("@ANSWERS@", "w"))
    answers:write(text, "\n")
    answers:close()
end

local function vary(range, first, step, last)
    range("0", "start", first)
    range("0", "inc", step)
    range("0", "min", first)
    range("0", "max", last)
end

pktgen.screen("off")
pktgen.set("0", "count", 0)
pktgen.set_proto("0", "tcp")
pktgen.range.ip_proto("0", "tcp")
pktgen.range.dst_mac("0", "start", "02:00:00:00:00:80")
pktgen.range.src_mac("0", "start", "02:00:00:00:00:01")
vary(pktgen.range.src_ip, "10.0.0.1", "0.0.0.1", "10.0.3.232")
vary(pktgen.range.dst_ip, "198.18.0.1", "0.0.0.1", "198.18.0.250")
vary(pktgen.range.src_port, 1024, 1, 51023)
vary(pktgen.range.dst_port, 80, 0, 80)
pktgen.set_range("0", "on")

-- `rate` is in percent of the link. Statistics are read a second after the last frame: Pktgen's own are a little late.
local function trial(rate, seconds)
    pktgen.clr()
    pktgen.delay(500)
    pktgen.set("0", "rate", rate)
    pktgen.start("0")
    pktgen.delay(math.floor(seconds * 1000))
    pktgen.stop("0")
    pktgen.delay(1000)
    local sent = pktgen.portStats("0", "port")[0]
    local received = pktgen.portStats("1", "port")[1]
    answer(string.format('{"sent": %d, "received": %d, "refused": 0, "forfeited": 0, "seconds": %.3f}',
        sent.opackets, received.ipackets, seconds))
end

for line in commands:lines() do
    local word, first, second = line:match("^(%S+)%s*(%S*)%s*(%S*)$")
    if word == "trial" then
        trial(tonumber(first), tonumber(second))
    elseif word == "size" then
        local size = tonumber(first)
        vary(pktgen.range.pkt_size, size, 0, size)
        answer(string.format('{"size": %d}', size))
    elseif word == "link" then
        answer('{"up": [1, 1]}')
    elseif word == "quit" then
        break
    end
end
pktgen.quit()
