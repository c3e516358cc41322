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
 *   - a channel may fall silent, an agent may start anew and forget everything, once each.
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
 * The check must fail with each.
 */

#ifndef FLOWS
#define FLOWS 2
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
#define COPIES 2
#define REQUEST_LOSSES 1
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

/* Frames in flight, by kind and flow. */
#define TRANSFER 0
#define ACK 1
#define NACK 2
#define TERMINATE 3
#define TERMINATE_RESPONSE 4
#define FLOW_DONE 5
#define FLOW_DONE_RESPONSE 6
#define KINDS 7
byte inFlight[KINDS * FLOWS];
byte duplicates = DUPLICATES;

mtype state[FLOWS] = state_none;
mtype flow[FLOWS] = flow_none;
mtype adoption[FLOWS] = adoption_none;
mtype answer[FLOWS] = answer_none;
byte agentOf[FLOWS];

chan events[FLOWS] = [3] of { mtype };
chan commands[FLOWS] = [3] of { mtype };

/* The held request on its way to the proxy, and how often the data path may still lose it. */
byte requests[FLOWS];
byte requestLosses = REQUEST_LOSSES;

bool originHasRequest[FLOWS];
bool originIsReset[FLOWS];
bool fromOrigin[FLOWS];   /* The client has read a byte of this server's answer. */
bool fromProxy[FLOWS];
bool wasReset[FLOWS];     /* The client gave the connection up. */
bool hasDied[FLOWS];      /* The server started anew under the connection. */
bool unnoticed[FLOWS];    /* The agent has started anew, the control core does not know yet: an old session. */
bool maySilence = MISFORTUNES;
bool mayRestart = MISFORTUNES;

#define IN_FLIGHT(kind, g) inFlight[(kind) * FLOWS + (g)]

/* Sends a frame: it will arrive, or be lost, or arrive twice. Its fate is drawn here; when it arrives is open. */
inline send(kind, g) {
    if
    :: true
    :: IN_FLIGHT(kind, g) < 2 -> IN_FLIGHT(kind, g)++
    :: IN_FLIGHT(kind, g) == 0 && duplicates > 0 -> IN_FLIGHT(kind, g) = 2; duplicates--
    fi
}

#define take(kind, g) IN_FLIGHT(kind, g)--

inline checkStream(g) {
    assert(!(fromOrigin[g] && fromProxy[g]))
}

/* ---- The worker: one flow. Only this process writes `flow`. ---- */

inline abort(g, byOrigin) {
    flow[g] = flow_aborted;
    originHasRequest[g] = byOrigin;
    events[g]!event_aborted
}

proctype Worker(byte g) {
endUnborn:
    atomic { flow[g] == flow_held -> events[g]!event_requestHeld };
end:
    do
    :: atomic { commands[g]?command_verdictOrigin ->
        if
        :: flow[g] == flow_held -> abort(g, true)
        :: else
        fi }
    :: atomic { commands[g]?command_verdictProxy ->
        if
        :: flow[g] == flow_held ->
            flow[g] = flow_committed; originIsReset[g] = true; requests[g] = 1; events[g]!event_committed
#ifdef BROKEN_COMMIT
        :: flow[g] == flow_aborted ->
            flow[g] = flow_committed; requests[g] = 1; events[g]!event_committed
#endif
        :: else
        fi }
    :: atomic { commands[g]?command_flowDone ->
        if
        :: flow[g] == flow_committed -> flow[g] = flow_closed; events[g]!event_flowEnded
        :: else
        fi }
    /* The backstop, or the origin closed, or a bound: the request goes to the origin. */
    :: atomic { flow[g] == flow_held && len(events[g]) < 3 -> abort(g, true) }
    /* The entry of a flow whose server is done or dead leaves by its idle time. */
    :: atomic { flow[g] == flow_committed && len(events[g]) < 3 && requests[g] == 0 &&
            (adoption[g] == adoption_done || hasDied[g]) && IN_FLIGHT(FLOW_DONE, g) == 0 ->
        flow[g] = flow_closed; events[g]!event_flowEnded }
    /* The client retransmits what the data path lost: to the proxy. */
    :: atomic { flow[g] == flow_committed && requests[g] == 0 && adoption[g] == adoption_mute -> requests[g] = 1 }
    :: atomic { requests[g] > 0 && requestLosses > 0 -> requestLosses--; requests[g] = 0 }
    od
}

/* ---- The control core: one transfer. ---- */

inline recall(g) {
    send(TERMINATE, g);
    repetitions = REPETITIONS - 1;
    state[g] = state_recalling
}

inline lateACK(g) {
#ifdef BROKEN_RECALL
    skip
#else
    isLate = true;
    recall(g)
#endif
}

proctype Transfer(byte g) {
    byte attempts = 0;
    byte repetitions = 0;
    bool isLate = false;
    bool isConfirmed = false;
    mtype event;
endUnborn:
    atomic { events[g]?event_requestHeld ->
        if
        :: agentOf[g] = 0; state[g] = state_asking; attempts = 1; send(TRANSFER, g)
        :: agentOf[g] = 1; state[g] = state_asking; attempts = 1; send(TRANSFER, g)
        :: commands[g]!command_verdictOrigin; state[g] = state_ended   /* noProxy */
        fi };
end:
    do
    /* ack */
    :: atomic { IN_FLIGHT(ACK, g) > 0 -> take(ACK, g);
        if
        :: state[g] == state_asking -> commands[g]!command_verdictProxy; state[g] = state_granting
        :: state[g] == state_releasing || state[g] == state_recalled -> lateACK(g)
        :: state[g] == state_recalling && !isLate -> lateACK(g)
        :: else
        fi }
    /* nack */
    :: atomic { IN_FLIGHT(NACK, g) > 0 -> take(NACK, g);
        if
        :: state[g] == state_asking -> commands[g]!command_verdictOrigin; state[g] = state_releasing
        :: state[g] == state_recalling && !isLate -> state[g] = state_recalled
        :: else
        fi }
    /* terminateResponse */
    :: atomic { IN_FLIGHT(TERMINATE_RESPONSE, g) > 0 -> take(TERMINATE_RESPONSE, g);
        if
        :: state[g] == state_recalling -> state[g] = state_recalled
        :: else
        fi }
    /* flowDone: answered always */
    :: atomic { IN_FLIGHT(FLOW_DONE, g) > 0 -> take(FLOW_DONE, g); send(FLOW_DONE_RESPONSE, g);
        if
        :: state[g] == state_asking -> commands[g]!command_verdictOrigin; state[g] = state_releasing
        :: state[g] == state_granting || state[g] == state_committed ->
            commands[g]!command_flowDone; state[g] = state_closing
        :: state[g] == state_recalling -> state[g] = state_recalled
        :: else
        fi }
    /* committed, aborted, flowEnded */
    :: atomic { events[g]?event ->
        if
        :: event == event_committed ->
            isConfirmed = true;
            if
            :: state[g] == state_granting -> state[g] = state_committed
            :: else
            fi
        :: event == event_aborted ->
            if
            :: state[g] == state_asking -> recall(g)
            :: state[g] == state_granting -> isLate = true; recall(g)
            :: state[g] == state_committed && !isConfirmed -> isLate = true; recall(g)
            :: state[g] == state_releasing || state[g] == state_closing -> state[g] = state_ended
            :: else
            fi
        :: event == event_flowEnded ->
            if
            :: state[g] == state_granting || state[g] == state_committed || state[g] == state_closing ->
                state[g] = state_ended
            :: else
            fi
        fi }
    /* timer */
    :: atomic { state[g] == state_asking && attempts < COPIES -> attempts++; send(TRANSFER, g) }
    :: atomic { state[g] == state_asking -> commands[g]!command_verdictOrigin; recall(g) }
    :: atomic { state[g] == state_granting -> state[g] = state_committed }
    :: atomic { state[g] == state_releasing || state[g] == state_recalled || state[g] == state_closing ->
        state[g] = state_ended }
    :: atomic { state[g] == state_recalling && repetitions > 0 -> repetitions--; send(TERMINATE, g) }
    :: atomic { state[g] == state_recalling && repetitions == 0 -> state[g] = state_ended }
    :: atomic { state[g] == state_committed && !isConfirmed -> state[g] = state_ended }
    /* channelDown(silent) */
    :: atomic { maySilence && state[g] == state_asking ->
        maySilence = false; commands[g]!command_verdictOrigin; recall(g) }
    /* channelDown(restarted) */
    :: atomic { unnoticed[g] -> unnoticed[g] = false;
        if
        :: state[g] == state_asking -> commands[g]!command_verdictOrigin; state[g] = state_releasing
        :: state[g] == state_recalling -> state[g] = state_recalled
        :: else
        fi }
    od
}

/* ---- An agent's part in one flow. Forgetful: a TERMINATE for what it does not know leaves no trace. ---- */

#define TUPLE_IN_USE(g) (FLOWS > 1 && agentOf[0] == agentOf[FLOWS - 1] && adoption[FLOWS - 1 - (g)] != adoption_none)

proctype Agent(byte g) {
    byte repetitions = REPETITIONS;
end:
    do
    :: atomic { IN_FLIGHT(TRANSFER, g) > 0 -> take(TRANSFER, g);
        if
        :: unnoticed[g]
        :: !unnoticed[g] && answer[g] == answer_ack -> send(ACK, g)
        :: !unnoticed[g] && answer[g] == answer_nack -> send(NACK, g)
        :: !unnoticed[g] && answer[g] == answer_none && !TUPLE_IN_USE(g) ->
            answer[g] = answer_ack; adoption[g] = adoption_mute; send(ACK, g)
        :: !unnoticed[g] && answer[g] == answer_none -> answer[g] = answer_nack; send(NACK, g)
        fi }
    :: atomic { IN_FLIGHT(TERMINATE, g) > 0 -> take(TERMINATE, g);
        if
        :: unnoticed[g]
        :: else ->
            assert(adoption[g] != adoption_serving && adoption[g] != adoption_done);
            adoption[g] = adoption_none;
            send(TERMINATE_RESPONSE, g)
        fi }
    /* The request itself: the commit. */
    :: atomic { requests[g] > 0 -> requests[g]--;
        if
        :: adoption[g] == adoption_mute -> adoption[g] = adoption_serving
        :: adoption[g] == adoption_none -> assert(hasDied[g])
        :: else
        fi }
    :: atomic { adoption[g] == adoption_serving && !fromProxy[g] -> fromProxy[g] = true; checkStream(g) }
#ifdef BROKEN_MUTE
    :: atomic { adoption[g] == adoption_mute && !fromProxy[g] -> fromProxy[g] = true; checkStream(g) }
#endif
    :: atomic { adoption[g] == adoption_serving && fromProxy[g] -> adoption[g] = adoption_done; send(FLOW_DONE, g) }
    :: atomic { adoption[g] == adoption_done && repetitions > 0 -> repetitions--; send(FLOW_DONE, g) }
    :: atomic { IN_FLIGHT(FLOW_DONE_RESPONSE, g) > 0 -> take(FLOW_DONE_RESPONSE, g); repetitions = 0 }
#ifndef BROKEN_RECALL
    /* 120 s without the request. */
    :: atomic { adoption[g] == adoption_mute && (flow[g] == flow_aborted || flow[g] == flow_closed) ->
        adoption[g] = adoption_none }
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
inline forget(g, a) {
    if
    :: agentOf[g] == a && state[g] != state_none ->
        hasDied[g] = (adoption[g] != adoption_none);
        adoption[g] = adoption_none; answer[g] = answer_none; unnoticed[g] = true;
        IN_FLIGHT(TRANSFER, g) = 0; IN_FLIGHT(ACK, g) = 0; IN_FLIGHT(NACK, g) = 0; IN_FLIGHT(TERMINATE, g) = 0;
        IN_FLIGHT(TERMINATE_RESPONSE, g) = 0; IN_FLIGHT(FLOW_DONE, g) = 0; IN_FLIGHT(FLOW_DONE_RESPONSE, g) = 0
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
#if FLOWS > 1
        forget(1, a);
#endif
    }
}

inline checkEnd(g) {
    assert(flow[g] == flow_none || flow[g] == flow_aborted || flow[g] == flow_closed);
    assert(state[g] == state_none || state[g] == state_ended);
    assert(adoption[g] == adoption_none || adoption[g] == adoption_done);
    assert(flow[g] == flow_none || fromOrigin[g] || fromProxy[g] || wasReset[g] || hasDied[g]);
    assert(flow[g] != flow_closed || originIsReset[g])
}

init {
    byte g;
    atomic {
        g = 0;
        do
        :: g < FLOWS -> run Worker(g); run Transfer(g); run Agent(g); run Origin(g); g++
        :: else -> break
        od;
        g = 0;
        run Client(); run Fate()
    };
    /* Nothing more can happen. */
    timeout -> atomic {
        checkEnd(0);
#if FLOWS > 1
        checkEnd(1);
#endif
    }
}
