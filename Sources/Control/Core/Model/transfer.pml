/*
 * One tuple, its connections, and who may answer: director (worker and control core), two agents, origin, client.
 *
 * Checked exhaustively by check.sh. States and events have the names of TransferState and TransferEvent; actions those
 * of TransferAction and WorkerCommand. What is modelled:
 *   - CRTP loses, duplicates (`duplicates` times in all), delays and reorders: a frame in flight arrives whenever it
 *     likes, and TRANSFER may come after its own TERMINATE;
 *   - the rings between control core and worker keep their order and may be slow without bound;
 *   - every timer fires whenever it likes (the worker's backstop too), except that an agent's 120 s are longer than a
 *     hold and longer than a client's retransmissions;
 *   - the client may reset its connection while the request is held and open the tuple anew (flow 1): what is left of
 *     flow 0 is then stale everywhere;
 *   - a channel may fall silent, an agent may start anew and forget everything, once each;
 *   - with TRIES=2, a request whose first agent does not take it may be offered to the other one: both may then have
 *     adopted it.
 * What must hold:
 *   - the client's stream is never taken from two servers, and nobody speaks before the commit;
 *   - an agent that has read the request is never called back;
 *   - when nothing more can happen, every client has been answered (or has reset, or its server has died), no request
 *     is held, no adoption is left, and the control core has forgotten every transfer.
 * Executions are finite, so the last point says that nobody waits for ever.
 *
 * -DBROKEN_COMMIT   the worker obeys the verdict "proxy" after it has given the request to the origin
 * -DBROKEN_MUTE     an agent speaks before the commit
 * -DBROKEN_RECALL   a late ACK is not called back, and the agents never drop an adoption by themselves
 * -DBROKEN_SECOND   an ACK of the first agent counts after the hold has gone on to the second
 * The check must fail with each.
 */

#ifndef FLOWS
#define FLOWS 2
#endif
/* Agents that one request is offered to. */
#ifndef TRIES
#define TRIES 1
#endif
#ifndef DUPLICATES
#define DUPLICATES 1
#endif
/* TERMINATEs of one recall, FLOW_DONEs of one flow. */
#ifndef REPETITIONS
#define REPETITIONS 2
#endif
/* With two flows the state space is their product; CALM leaves out what one flow alone shows as well: the second copy of
   TRANSFER, loss of the request on the data path, channels that fall silent, agents that start anew. */
#ifdef CALM
#define COPIES 1
#define REQUEST_LOSSES 0
#define MISFORTUNES false
#else
#ifndef COPIES
#define COPIES 2
#endif
#ifndef REQUEST_LOSSES
#define REQUEST_LOSSES 1
#endif
#define MISFORTUNES true
#endif

mtype = {
    /* TransferState */
    state_none, state_asking, state_granting, state_releasing, state_recalling, state_recalled, state_committed,
    state_closing, state_ended
};
mtype = {
    /* The worker's field, written by the worker alone. */
    flow_none, flow_held, flow_committed, flow_aborted, flow_closed
};
mtype = {
    /* A connection at an agent. */
    adoption_none, adoption_mute, adoption_serving, adoption_done
};
mtype = { answer_none, answer_ack, answer_nack };
mtype = {
    /* WorkerEvent and WorkerCommand */
    event_requestHeld, event_committed, event_aborted, event_flowEnded,
    command_verdictOrigin, command_verdictProxy, command_flowDone
};

/* A flow's transfers, one for each try, lie one behind the other. */
#define TRANSFERS (FLOWS * TRIES)
#define FLOW(t) ((t) / TRIES)

/* Frames in flight, by kind and transfer. */
#define TRANSFER 0
#define ACK 1
#define NACK 2
#define TERMINATE 3
#define TERMINATE_RESPONSE 4
#define FLOW_DONE 5
#define FLOW_DONE_RESPONSE 6
#define KINDS 7
byte inFlight[KINDS * TRANSFERS];
byte duplicates = DUPLICATES;

mtype state[TRANSFERS] = state_none;
mtype flow[FLOWS] = flow_none;
mtype adoption[TRANSFERS] = adoption_none;
mtype answer[TRANSFERS] = answer_none;
byte agentOf[TRANSFERS];
/* The transfer that has the flow's hold: the worker's events are its. */
byte holder[FLOWS];
/* The transfer that the request was committed by. */
byte taker[FLOWS];

chan events[FLOWS] = [3] of { mtype };
/* The transfer is for `verdictProxy`. */
chan commands[FLOWS] = [3] of { mtype, byte };

/* The held request on its way to the proxy, and how often the data path may still lose it. */
byte requests[FLOWS];
byte requestLosses = REQUEST_LOSSES;

bool originHasRequest[FLOWS];
bool originIsReset[FLOWS];
bool fromOrigin[FLOWS];     /* The client has read a byte of this server's answer. */
bool fromProxy[TRANSFERS];
bool wasReset[FLOWS];       /* The client gave the connection up. */
bool hasDied[TRANSFERS];    /* The server started anew under the connection. */
bool unnoticed[TRANSFERS];  /* The agent has started anew, the control core does not know yet: an old session. */
bool maySilence = MISFORTUNES;
bool mayRestart = MISFORTUNES;

#define IN_FLIGHT(kind, t) inFlight[(kind) * TRANSFERS + (t)]
#if TRIES > 1
#define FIRST_OF(g) ((g) * TRIES)
#define SECOND_OF(g) ((g) * TRIES + 1)
#else
#define FIRST_OF(g) (g)
#define SECOND_OF(g) (g)
#endif
#define FROM_A_PROXY(g) (fromProxy[FIRST_OF(g)] || fromProxy[SECOND_OF(g)])
#define A_SERVER_DIED(g) (hasDied[FIRST_OF(g)] || hasDied[SECOND_OF(g)])

/* Sends a frame: it will arrive, or be lost, or arrive twice. Its fate is drawn here; when it arrives is open. */
inline send(kind, t) {
    if
    :: true
    :: IN_FLIGHT(kind, t) < 2 -> IN_FLIGHT(kind, t)++
    :: IN_FLIGHT(kind, t) == 0 && duplicates > 0 -> IN_FLIGHT(kind, t) = 2; duplicates--
    fi
}

#define take(kind, t) IN_FLIGHT(kind, t)--

inline checkStream(g) {
    assert(!(fromOrigin[g] && FROM_A_PROXY(g)));
#if TRIES > 1
    assert(!(fromProxy[FIRST_OF(g)] && fromProxy[SECOND_OF(g)]))
#endif
}

/* ---- The worker: one flow. Only this process writes `flow`. ---- */

inline abort(g, byOrigin) {
    flow[g] = flow_aborted;
    originHasRequest[g] = byOrigin;
    events[g]!event_aborted
}

proctype Worker(byte g) {
    byte t;
endUnborn:
    atomic { flow[g] == flow_held -> events[g]!event_requestHeld };
end:
    do
    :: atomic { commands[g]?command_verdictOrigin, _ ->
        if
        :: flow[g] == flow_held -> abort(g, true)
        :: else
        fi }
    :: atomic { commands[g]?command_verdictProxy, t ->
        if
        :: flow[g] == flow_held ->
            flow[g] = flow_committed; originIsReset[g] = true; requests[g] = 1; taker[g] = t;
            events[g]!event_committed
#ifdef BROKEN_COMMIT
        :: flow[g] == flow_aborted ->
            flow[g] = flow_committed; requests[g] = 1; taker[g] = t; events[g]!event_committed
#endif
        :: else
        fi }
    :: atomic { commands[g]?command_flowDone, _ ->
        if
        :: flow[g] == flow_committed -> flow[g] = flow_closed; events[g]!event_flowEnded
        :: else
        fi }
    /* The backstop, or the origin closed, or a bound: the request goes to the origin. */
    :: atomic { flow[g] == flow_held && len(events[g]) < 3 -> abort(g, true) }
    /* The entry of a flow whose server is done or dead leaves by its idle time. */
    :: atomic { flow[g] == flow_committed && len(events[g]) < 3 && requests[g] == 0 &&
            (adoption[taker[g]] == adoption_done || hasDied[taker[g]]) && IN_FLIGHT(FLOW_DONE, taker[g]) == 0 ->
        flow[g] = flow_closed; events[g]!event_flowEnded }
    /* The client retransmits what the data path lost: to the proxy. */
    :: atomic { flow[g] == flow_committed && requests[g] == 0 && adoption[taker[g]] == adoption_mute ->
        requests[g] = 1 }
    :: atomic { requests[g] > 0 && requestLosses > 0 -> requestLosses--; requests[g] = 0 }
    od
}

/* ---- The control core: one transfer. ---- */

inline recall(t) {
    send(TERMINATE, t);
    repetitions = REPETITIONS - 1;
    state[t] = state_recalling
}

inline lateACK(t) {
#ifdef BROKEN_RECALL
    skip
#else
    isLate = true;
    recall(t)
#endif
}

/* Another agent is to be asked: it may be when this is the first one and has the hold. */
#define MAY_PASS_ON (TRIES > 1 && t % TRIES == 0 && holder[g] == t)
inline passOn() {
    holder[g] = t + 1;
    agentOf[t + 1] = 1 - agentOf[t];
    state[t + 1] = state_asking
}

/* The request goes to the origin, or on to the other agent. */
inline release() {
    if
    :: commands[g]!command_verdictOrigin, t; state[t] = state_releasing
    :: MAY_PASS_ON -> passOn(); state[t] = state_recalled
    fi
}

inline giveUp() {
    if
    :: commands[g]!command_verdictOrigin, t
    :: MAY_PASS_ON -> passOn()
    fi;
    recall(t)
}

proctype Transfer(byte t) {
    byte g = FLOW(t);
    byte attempts = 0;
    byte repetitions = 0;
    bool isLate = false;
    bool isConfirmed = false;
    mtype event;
    if
    :: t % TRIES == 0 ->
endUnborn:
        atomic { events[g]?event_requestHeld -> holder[g] = t;
            if
            :: agentOf[t] = 0; state[t] = state_asking; attempts = 1; send(TRANSFER, t)
            :: agentOf[t] = 1; state[t] = state_asking; attempts = 1; send(TRANSFER, t)
            :: commands[g]!command_verdictOrigin, t; state[t] = state_ended   /* noProxy */
            fi }
    :: else ->
endUnneeded:
        atomic { state[t] == state_asking -> attempts = 1; send(TRANSFER, t) }
    fi;
end:
    do
    /* ack */
    :: atomic { IN_FLIGHT(ACK, t) > 0 -> take(ACK, t);
        if
        :: state[t] == state_asking -> commands[g]!command_verdictProxy, t; state[t] = state_granting
        :: state[t] == state_releasing || state[t] == state_recalled -> lateACK(t)
        :: state[t] == state_recalling && !isLate -> lateACK(t)
#ifdef BROKEN_SECOND
        :: state[t] == state_recalling && holder[g] != t -> commands[g]!command_verdictProxy, t
#endif
        :: else
        fi }
    /* nack */
    :: atomic { IN_FLIGHT(NACK, t) > 0 -> take(NACK, t);
        if
        :: state[t] == state_asking -> release()
        :: state[t] == state_recalling && !isLate -> state[t] = state_recalled
        :: else
        fi }
    /* terminateResponse */
    :: atomic { IN_FLIGHT(TERMINATE_RESPONSE, t) > 0 -> take(TERMINATE_RESPONSE, t);
        if
        :: state[t] == state_recalling -> state[t] = state_recalled
        :: else
        fi }
    /* flowDone: answered always */
    :: atomic { IN_FLIGHT(FLOW_DONE, t) > 0 -> take(FLOW_DONE, t); send(FLOW_DONE_RESPONSE, t);
        if
        :: state[t] == state_asking -> release()
        :: state[t] == state_granting || state[t] == state_committed ->
            commands[g]!command_flowDone, t; state[t] = state_closing
        :: state[t] == state_recalling -> state[t] = state_recalled
        :: else
        fi }
    /* committed, aborted, flowEnded */
    :: atomic { holder[g] == t && len(events[g]) > 0 -> events[g]?event;
        if
        :: event == event_committed ->
            isConfirmed = true;
            if
            :: state[t] == state_granting -> state[t] = state_committed
            :: else
            fi
        :: event == event_aborted ->
            if
            :: state[t] == state_asking -> recall(t)
            :: state[t] == state_granting -> isLate = true; recall(t)
            :: state[t] == state_committed && !isConfirmed -> isLate = true; recall(t)
            :: state[t] == state_releasing || state[t] == state_closing -> state[t] = state_ended
            :: else
            fi
        :: event == event_flowEnded ->
            if
            :: state[t] == state_granting || state[t] == state_committed || state[t] == state_closing ->
                state[t] = state_ended
            :: else
            fi
        fi }
    /* timer */
    :: atomic { state[t] == state_asking && attempts < COPIES -> attempts++; send(TRANSFER, t) }
    :: atomic { state[t] == state_asking -> giveUp() }
    :: atomic { state[t] == state_granting -> state[t] = state_committed }
    :: atomic { state[t] == state_releasing || state[t] == state_recalled || state[t] == state_closing ->
        state[t] = state_ended }
    :: atomic { state[t] == state_recalling && repetitions > 0 -> repetitions--; send(TERMINATE, t) }
    :: atomic { state[t] == state_recalling && repetitions == 0 -> state[t] = state_ended }
    :: atomic { state[t] == state_committed && !isConfirmed -> state[t] = state_ended }
    /* channelDown(silent) */
    :: atomic { maySilence && state[t] == state_asking -> maySilence = false; giveUp() }
    /* channelDown(restarted) */
    :: atomic { unnoticed[t] -> unnoticed[t] = false;
        if
        :: state[t] == state_asking -> release()
        :: state[t] == state_recalling -> state[t] = state_recalled
        :: else
        fi }
    od
}

/* ---- An agent's part in one transfer. Forgetful: a TERMINATE for what it does not know leaves no trace. ---- */

#define TUPLE_IN_USE(t) \
    (TRANSFERS > 1 && agentOf[0] == agentOf[TRANSFERS - 1] && adoption[TRANSFERS - 1 - (t)] != adoption_none)

proctype Agent(byte t) {
    byte g = FLOW(t);
    byte repetitions = REPETITIONS;
end:
    do
    :: atomic { IN_FLIGHT(TRANSFER, t) > 0 -> take(TRANSFER, t);
        if
        :: unnoticed[t]
        :: !unnoticed[t] && answer[t] == answer_ack -> send(ACK, t)
        :: !unnoticed[t] && answer[t] == answer_nack -> send(NACK, t)
        :: !unnoticed[t] && answer[t] == answer_none && !TUPLE_IN_USE(t) ->
            answer[t] = answer_ack; adoption[t] = adoption_mute; send(ACK, t)
        :: !unnoticed[t] && answer[t] == answer_none -> answer[t] = answer_nack; send(NACK, t)
        fi }
    :: atomic { IN_FLIGHT(TERMINATE, t) > 0 -> take(TERMINATE, t);
        if
        :: unnoticed[t]
        :: else ->
            assert(adoption[t] != adoption_serving && adoption[t] != adoption_done);
            adoption[t] = adoption_none;
            send(TERMINATE_RESPONSE, t)
        fi }
    /* The request itself: the commit. */
    :: atomic { requests[g] > 0 && taker[g] == t -> requests[g]--;
        if
        :: adoption[t] == adoption_mute -> adoption[t] = adoption_serving
        :: adoption[t] == adoption_none -> assert(hasDied[t])
        :: else
        fi }
    :: atomic { adoption[t] == adoption_serving && !fromProxy[t] -> fromProxy[t] = true; checkStream(g) }
#ifdef BROKEN_MUTE
    :: atomic { adoption[t] == adoption_mute && !fromProxy[t] -> fromProxy[t] = true; checkStream(g) }
#endif
    :: atomic { adoption[t] == adoption_serving && fromProxy[t] -> adoption[t] = adoption_done; send(FLOW_DONE, t) }
    :: atomic { adoption[t] == adoption_done && repetitions > 0 -> repetitions--; send(FLOW_DONE, t) }
    :: atomic { IN_FLIGHT(FLOW_DONE_RESPONSE, t) > 0 -> take(FLOW_DONE_RESPONSE, t); repetitions = 0 }
#ifndef BROKEN_RECALL
    /* 120 s without the request. */
    :: atomic { adoption[t] == adoption_mute && (flow[g] == flow_aborted || flow[g] == flow_closed ||
            (flow[g] == flow_committed && taker[g] != t)) ->
        adoption[t] = adoption_none }
#endif
    od
}

/* ---- The others. ---- */

proctype Origin(byte g) {
end:
    do
    /* What it sends passes the worker, unless the flow is a proxy's. */
    :: atomic { originHasRequest[g] && !fromOrigin[g] && flow[g] != flow_committed && flow[g] != flow_closed ->
        fromOrigin[g] = true; checkStream(g) }
    od
}

proctype Client() {
    flow[0] = flow_held;
#if FLOWS > 1
end:
    /* Resets while held, and opens the same tuple again. */
    atomic { flow[0] == flow_held && len(events[0]) < 3 ->
        wasReset[0] = true; flow[0] = flow_aborted; events[0]!event_aborted; flow[1] = flow_held }
#endif
}

/* An agent starts anew: its sockets, its memory and its sessions are gone. */
inline forget(t, a) {
    if
    :: agentOf[t] == a && state[t] != state_none ->
        hasDied[t] = (adoption[t] != adoption_none);
        adoption[t] = adoption_none; answer[t] = answer_none; unnoticed[t] = true;
        IN_FLIGHT(TRANSFER, t) = 0; IN_FLIGHT(ACK, t) = 0; IN_FLIGHT(NACK, t) = 0; IN_FLIGHT(TERMINATE, t) = 0;
        IN_FLIGHT(TERMINATE_RESPONSE, t) = 0; IN_FLIGHT(FLOW_DONE, t) = 0; IN_FLIGHT(FLOW_DONE_RESPONSE, t) = 0
    :: else
    fi
}

proctype Fate() {
    byte a;
end:
    atomic { mayRestart -> mayRestart = false;
        if
        :: a = 0
        :: a = 1
        fi;
        forget(0, a);
#if TRANSFERS > 1
        forget(1, a);
#endif
    }
}

inline checkEnd(g) {
    assert(flow[g] == flow_none || flow[g] == flow_aborted || flow[g] == flow_closed);
    assert(flow[g] == flow_none || fromOrigin[g] || FROM_A_PROXY(g) || wasReset[g] || A_SERVER_DIED(g));
    assert(flow[g] != flow_closed || originIsReset[g])
}

inline checkForgotten(t) {
    assert(state[t] == state_none || state[t] == state_ended);
    assert(adoption[t] == adoption_none || adoption[t] == adoption_done)
}

init {
    byte g;
    atomic {
        g = 0;
        do
        :: g < FLOWS -> run Worker(g); run Origin(g); g++
        :: else -> break
        od;
        g = 0;
        do
        :: g < TRANSFERS -> run Transfer(g); run Agent(g); g++
        :: else -> break
        od;
        g = 0;
        run Client(); run Fate()
    };
    /* Nothing more can happen. */
    timeout -> atomic {
        checkEnd(0);
        checkForgotten(0);
#if FLOWS > 1
        checkEnd(1);
#endif
#if TRANSFERS > 1
        checkForgotten(1);
#endif
    }
}
