-- Reserves permissions of one account for one worker, by this server's clock.
--
-- KEYS[1] the account's state: born (when this server first heard of it), for every line the next
--   free moment t:<group> and that of the other lanes o:<group>, joins paid for j:<group>, and
--   blocked, cut, cut_at, ramp_at, used_at, urgent_until, pace and pace_at (what the emergency lane
--   sends a second), left_over (of that, what the others may have), joins, block, and where
--   permissions are rare since when each worker waits q:<lane>:<group>:<worker>, and rare while any
--   such name stands.
-- KEYS[2] its members: worker -> "<lease_until> <workers> <rank>".
-- ARGV[1] what never changes, ARGV[2] what is asked, both JSON; times in microseconds.
-- Returns {now, microseconds still blocked, share of the rate in 1/1000,
--   and for each line asked: how many, microseconds until the first, nanoseconds between two,
--   microseconds worth waiting before the next question}.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local fixed = cjson.decode(ARGV[1])
local ask = cjson.decode(ARGV[2])
-- Read too late by a server that was held up: the worker has given up on this question, and may
-- be sending by itself.
if ask.deadline > 0 and now > ask.deadline then
    return {now}
end

local state = {}
local pairs_of = redis.call('HGETALL', KEYS[1])
for i = 1, #pairs_of, 2 do
    state[pairs_of[i]] = tonumber(pairs_of[i + 1])
end
local changed = {}
local function set(name, value)
    state[name] = value
    changed[#changed + 1] = name
    changed[#changed + 1] = string.format('%.3f', value)
end
if not state.born then
    set('born', now)
    -- A rate that had climbed before this server lost its memory need not climb again.
    if fixed.ramp and ask.share > fixed.ramp.first then
        local climbed = (ask.share - fixed.ramp.first) / (1 - fixed.ramp.first)
        set('ramp_at', now - climbed * fixed.ramp.seconds)
        set('used_at', now)
    end
end

-- Members: the limit is shared by as many as have lately asked here; who cannot reach this server
-- sends its own part by itself, and that part is not given away a second time.
local members = {{ask.workers, ask.rank}}
local living = {}
local was_member = false
local found = redis.call('HGETALL', KEYS[2])
for i = 1, #found, 2 do
    local lease, workers, rank = string.match(found[i + 1], '(%d+) (%d+) (%d+)')
    if tonumber(lease) <= now then
        redis.call('HDEL', KEYS[2], found[i])
    elseif found[i] == ask.worker then
        was_member = true
    else
        members[#members + 1] = {tonumber(workers), tonumber(rank)}
        living[found[i]] = true
    end
end
redis.call('HSET', KEYS[2], ask.worker,
    string.format('%.0f %d %d', now + fixed.member, ask.workers, ask.rank))
redis.call('PEXPIRE', KEYS[2], 60000)
if ask.sent_alone and not was_member then
    set('joins', (state.joins or 0) + 1)
end
if ask.block > (state.block or 1) then
    set('block', ask.block)
end
local block = state.block or 1

-- Throttled by the carrier: nothing for so long, then half the rate, and up again.
local function share_after_cut()
    if not state.cut then
        return 1
    end
    return math.min(1, state.cut + math.max(0, now - state.cut_at) / fixed.recover)
end
if ask.slow > 0 then
    -- Messages on the wire are refused together: only the first of them halves the rate.
    if not state.blocked or now > state.blocked + 1000000 then
        set('cut', math.max(fixed.lowest, share_after_cut() / 2))
    end
    set('blocked', math.max(state.blocked or 0, now + ask.slow))
    set('cut_at', state.blocked)
end
local blocked = state.blocked or 0
if blocked > now + 86400000000 then
    blocked = 0
end

local share = share_after_cut()
if fixed.ramp then
    if not state.used_at or now - state.used_at > fixed.ramp.idle or now < state.used_at then
        if #ask.lines > 0 then
            set('ramp_at', now)
        end
    end
    local climbed = (now - (state.ramp_at or now)) / fixed.ramp.seconds
    share = share * math.min(1, fixed.ramp.first + (1 - fixed.ramp.first) * climbed)
end

local function rate(rules)
    local lowest
    for _, rule in ipairs(rules) do
        local most = 0
        for _, member in ipairs(members) do
            local workers, rank = member[1], member[2]
            most = most + math.floor(rule[1] / workers)
            if rank < rule[1] % workers then
                most = most + 1
            end
        end
        most = math.min(most, rule[1])
        if most > 0 then
            most = math.max(1, most - block + 1)
        end
        local each = most / rule[2]
        if not lowest or each < lowest then
            lowest = each
        end
    end
    return lowest * share
end

local answer = {now, math.max(0, blocked - now), math.floor(share * 1000)}
local function say(count, first, step, wait)
    answer[#answer + 1] = count
    answer[#answer + 1] = math.ceil(first)
    answer[#answer + 1] = math.ceil(step * 1000)
    answer[#answer + 1] = math.ceil(wait)
end

-- Where permissions are rare, who was turned away first is next: otherwise whoever happens to ask
-- first takes each of them, and some workers wait for ever. Gives way for a moment only, so that a
-- permission nobody comes for is not lost.
local RARE, COMES = 100000, 50000
local gone = {}
local function turn(line)
    return 'q:' .. (line.urgent and 'u:' or 'o:') .. line.group .. ':'
end
local function forget(name)
    if state[name] then
        state[name] = nil
        gone[#gone + 1] = name
    end
end
local waiting = {}
if state.rare then
    -- Somebody waited since: looking through all names costs a tenth of a question.
    local asked = {}
    for _, line in ipairs(ask.lines) do
        asked[turn(line) .. ask.worker] = true
    end
    local suffix = ':' .. ask.worker
    for name in pairs(state) do
        if string.sub(name, 1, 2) == 'q:' then
            waiting[#waiting + 1] = name
        end
    end
    for _, name in ipairs(waiting) do
        if string.sub(name, -#suffix) == suffix and not asked[name] then
            forget(name)
        end
    end
    if #waiting == 0 then
        forget('rare')
    end
end
local function others_first(line)
    local queue = turn(line)
    local own = state[queue .. ask.worker] or now
    local found = false
    for _, name in ipairs(waiting) do
        local who = string.sub(name, #queue + 1)
        if string.sub(name, 1, #queue) == queue and who ~= ask.worker and state[name] then
            if not living[who] then
                forget(name)
            elseif state[name] < own then
                found = true
            end
        end
    end
    return found
end

local horizon = now + ask.horizon
for _, line in ipairs(ask.lines) do
    if line.urgent then
        set('urgent_until', now + fixed.urgent)
    end
end
local urgent_now = (state.urgent_until or 0) > now

-- How much the emergency lane really sends, of late: it may be slowed by something else than this
-- limit, and pauses between its batches. While that is a good part of the limit the others have
-- their share of what it sends, not of what it might send; a few late tries do not hold them up.
local pace = state.pace or 0
if pace > 0 or ask.urgent_used > 0 then
    local since = math.max(0, now - (state.pace_at or now))
    pace = pace * math.exp(-since / fixed.pace) + ask.urgent_used * 1000000 / fixed.pace
    set('pace', pace)
    set('pace_at', now)
end
local full = rate(fixed.rules)
local others_follow = pace > fixed.much * full * 1000000
local left_over = 0
if others_follow then
    -- A fifth less, for what they have in stock when an emergency begins or a question is late.
    local part = 0.8 * (1 - fixed.urgent_share) / fixed.urgent_share
    -- What is not asked for at once is not kept for later, but for one message of many parts.
    left_over = math.min((state.left_over or 0) + ask.urgent_used * part,
        math.max(block, part * full * fixed.pace / 4))
end
if left_over > 0 or state.left_over then
    set('left_over', left_over)
end

for _, line in ipairs(ask.lines) do
    local per = rate(line.rules or fixed.rules)
    if per <= 0 then
        say(0, 0, 0, fixed.member)
    else
        local group, step = line.group, 1 / per
        local free = state['t:' .. group]
        if not free then
            -- Never heard of: permissions given before this server lost its memory may still lie
            -- ahead of us.
            free = math.max(now, state.born + fixed.ahead)
            local young = now - state.born < 120000000
            set('j:' .. group, young and 0 or (state.joins or 0))
        elseif free > now + fixed.ahead + 2 * (block + 1) * step then
            free = now + fixed.ahead   -- the clock went back
        end
        -- Who comes back from sending alone may have used a permission this line knows nothing of.
        local owed = (state.joins or 0) - (state['j:' .. group] or 0)
        if owed > 0 then
            free = math.max(free, now) + owed * step
            set('j:' .. group, state.joins)
            set('t:' .. group, free)
        end
        local first = math.max(free, now, blocked)
        local count = 0
        if first <= horizon then
            count = line.whole and line.want
                or math.min(line.want, math.floor((horizon - first) * per) + 1)
        end
        local wait = first - horizon
        if count > 0 and step > RARE and now < free + COMES and others_first(line) then
            count, wait = 0, fixed.ahead / 25
        end
        if count > 0 and not line.urgent and others_follow then
            if group == '' then
                count = line.whole and left_over < count and 0
                    or math.min(count, math.floor(left_over))
                left_over = left_over - count
                set('left_over', left_over)
                wait = fixed.ahead / 4
            end
        elseif count > 0 and not line.urgent and urgent_now then
            local theirs = (1 - fixed.urgent_share) * per
            local other = math.max(state['o:' .. group] or 0, now)
            if other > now + fixed.urgent + (block + 1) / theirs then
                other = now
            end
            if other > horizon then
                count, wait = 0, other - horizon
            else
                if not line.whole then
                    count = math.min(count, math.floor((horizon - other) * theirs) + 1)
                end
                set('o:' .. group, other + count / theirs)
            end
        end
        if step > RARE then
            local own = turn(line) .. ask.worker
            if count > 0 then
                forget(own)
            elseif not state[own] then
                set(own, now)
                set('rare', now)
            end
        end
        if count > 0 then
            set('t:' .. group, first + count * step)
            set('used_at', now)
            wait = 0
        end
        say(count, first - now, line.whole and 0 or step, math.max(0, wait))
    end
end

if #gone > 0 then
    redis.call('HDEL', KEYS[1], unpack(gone))
end
if #changed > 0 then
    redis.call('HSET', KEYS[1], unpack(changed))
    redis.call('PEXPIRE', KEYS[1], 86400000)
end
return answer
