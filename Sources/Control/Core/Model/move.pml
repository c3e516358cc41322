/*
 * A connection that goes from one proxy (A) to another (B) with all that is under way, and the forwarder that has to know.
 *
 * Checked exhaustively by check.sh, beside transfer.pml, which has the transfer to B in its other circumstances. Names are
 * those of ControlCore+Moves, MoveTable, TransferMachine, and of the agents' offers. What is modelled:
 *   - CRTP loses, duplicates (DUPLICATES times in all), delays and reorders; a blob is whole at its receiver or not there,
 *     and one of an earlier offer may come late;
 *   - the ring between control core and worker keeps its order and may be slow without bound;
 *   - every timer fires whenever it likes;
 *   - A goes on with the answer after an offer that came to nothing, and may offer again: two offers in all;
 *   - the director may start anew once and forget everything; A may die once while it waits;
 *   - the forwarder sends by its mapping, and what it does not know to the classifier, which knows the flow's proxy;
 *     announcements come in any order, or not at all.
 * `position` is what has been written to the client: by A, and from there on by B. What must hold:
 *   - A and B never speak at the same time, and B goes on exactly where A has stopped;
 *   - when nothing more can happen, somebody has the connection, or the client was reset; nobody waits; B keeps nothing of
 *     an offer that came to nothing; and what the client says reaches whoever has the connection.
 *
 * -DBROKEN_OFFER       A decides by itself that an offer is void
 * -DBROKEN_BEGIN       B speaks as soon as it has adopted
 * -DBROKEN_BLOB        the second offer is answered with the first one's blob
 * -DBROKEN_GENERATION  the forwarder believes the last announcement that comes
 * -DBROKEN_UNMAP       A does not take its mapping back
 * The check must fail with each.
 */

#ifndef DUPLICATES
#define DUPLICATES 1
#endif
#define OFFERS 2
#define A 0
#define B 1
#define NOBODY 2

mtype = { serving, mute, gone, was_reset };                        /* A */
mtype = { nothing, adopted, going_on, ended };                     /* B, of an offer */
mtype = { unheard, asking, granting, recalling, moved, void };     /* the control core's Move */

mtype a = serving;
mtype b[OFFERS] = nothing;
mtype move[OFFERS] = unheard;
byte offer = 0;             /* A's present or last one */
byte position = 0;          /* bytes that the client was sent */
byte blob[OFFERS];          /* A's position when it became mute for this offer */
bool hasBlob[OFFERS];       /* the director has it whole */
byte proxy = A;             /* the worker's field */
bool isWorkerTold[OFFERS];  /* `move` waits in the ring */
byte refusals = 0;          /* offers that came to nothing at A */
bool hasForgotten = false;  /* the director has started anew */
bool mayRestart = true, mayDie = true;
bool isDead = false;

/* Frames in flight, by kind and offer. */
#define OFFER 0
#define NACK_A 1
#define ACK_A 2
#define CANCEL_A 3
#define VOID_A 4
#define TRANSFER 5
#define ACK_B 6
#define CANCEL_B 7
#define CANCELLED_B 8
#define FIRST_BYTE 9
#define BEGUN 10
#define KINDS 11
byte inFlight[KINDS * OFFERS];
byte duplicates = DUPLICATES;
#define IN_FLIGHT(kind, n) inFlight[(kind) * OFFERS + (n)]

inline send(kind, n) {
    if
    :: true
    :: IN_FLIGHT(kind, n) < 2 -> IN_FLIGHT(kind, n)++
    :: IN_FLIGHT(kind, n) == 0 && duplicates > 0 -> IN_FLIGHT(kind, n) = 2; duplicates--
    fi
}
#define take(kind, n) IN_FLIGHT(kind, n)--

/* The forwarder's mapping, and what is on its way to it: 0 none, 1 A's announcement, 2 B's. */
byte mapping = A;
byte generation = 0;
bool announcedA = true, announcedB = false, unmapping = false;
bool isUnmapped = false;

#define SPEAKS_A (a == serving)
#define SPEAKS_B (b[0] == going_on || b[1] == going_on)

inline checkOwners() { assert(!(SPEAKS_A && SPEAKS_B)) }

/* ---- A ---- */

proctype First() {
end:
    do
    :: atomic { a == serving && position < 2 && !isDead -> position++ }
    /* Mute first, then what is under way is read, then the director gets it, then it hears of the offer. */
    :: atomic { a == serving && refusals == offer && offer < OFFERS && !isDead && !hasForgotten ->
        a = mute; blob[offer] = position }
    :: atomic { a == mute && !hasBlob[offer] && move[offer] == unheard && !hasForgotten ->
        if
        :: hasBlob[offer] = true; send(OFFER, offer)
        /* It could not be delivered: nobody has heard of the offer. */
        :: a = serving; refusals++; offer++; checkOwners()
        fi }
    :: atomic { a == mute && hasBlob[offer] && IN_FLIGHT(OFFER, offer) == 0 && move[offer] == unheard && !hasForgotten ->
        send(OFFER, offer) }
    /* Asks what became of it. */
    :: atomic { a == mute && hasBlob[offer] && IN_FLIGHT(CANCEL_A, offer) == 0 && IN_FLIGHT(VOID_A, offer) == 0 &&
        IN_FLIGHT(ACK_A, offer) == 0 && IN_FLIGHT(NACK_A, offer) == 0 && !hasForgotten -> send(CANCEL_A, offer) }
    :: atomic { a == mute && IN_FLIGHT(ACK_A, offer) > 0 -> take(ACK_A, offer); a = gone; unmapping = true }
    :: atomic { a == mute && IN_FLIGHT(NACK_A, offer) > 0 -> take(NACK_A, offer);
        a = serving; refusals++; offer++; checkOwners() }
    :: atomic { a == mute && IN_FLIGHT(VOID_A, offer) > 0 -> take(VOID_A, offer);
        a = serving; refusals++; offer++; checkOwners() }
#ifdef BROKEN_OFFER
    :: atomic { a == mute && hasBlob[offer] -> a = serving; refusals++; offer++; checkOwners() }
#endif
    /* Nobody can say any more whose it is: reset, which the worker lets pass from the flow's proxy alone. */
    :: atomic { a == mute && hasForgotten && hasBlob[offer] -> a = was_reset; unmapping = true }
    :: atomic { a == mute && hasForgotten && !hasBlob[offer] -> a = serving; refusals++; offer++; checkOwners() }
    :: atomic { mayDie && a == mute -> mayDie = false; isDead = true; a = gone; unmapping = true }
    od
}

/* ---- The control core, one offer ---- */

proctype Control(byte n) {
end:
    do
    :: atomic { IN_FLIGHT(OFFER, n) > 0 -> take(OFFER, n);
        if
        :: hasForgotten
        :: !hasForgotten && move[n] == unheard && hasBlob[n] ->
            if
            :: move[n] = asking; send(TRANSFER, n)
            :: move[n] = void; send(NACK_A, n)          /* no other proxy */
            fi
        :: !hasForgotten && move[n] == void -> send(NACK_A, n)
        :: !hasForgotten && move[n] == moved -> send(ACK_A, n)
        :: else
        fi }
    :: atomic { !hasForgotten && move[n] == asking && IN_FLIGHT(TRANSFER, n) == 0 && b[n] == nothing ->
        send(TRANSFER, n) }
    :: atomic { IN_FLIGHT(ACK_B, n) > 0 -> take(ACK_B, n);
        if
        :: !hasForgotten && move[n] == asking -> move[n] = granting; isWorkerTold[n] = true
        :: else
        fi }
    /* TO, a refusal, or A's CANCEL while B is asked. */
    :: atomic { !hasForgotten && move[n] == asking -> move[n] = void; send(NACK_A, n); send(CANCEL_B, n) }
    :: atomic { IN_FLIGHT(CANCEL_A, n) > 0 -> take(CANCEL_A, n);
        if
        :: hasForgotten
        :: !hasForgotten && move[n] == unheard -> move[n] = void; send(VOID_A, n)
        :: !hasForgotten && move[n] == asking -> move[n] = void; send(NACK_A, n); send(CANCEL_B, n)
        :: !hasForgotten && move[n] == void -> send(VOID_A, n)
        :: !hasForgotten && move[n] == moved -> send(ACK_A, n)
        :: else                                          /* the worker has the word */
        fi }
    :: atomic { !hasForgotten && move[n] == void && b[n] == adopted && IN_FLIGHT(CANCEL_B, n) == 0 -> send(CANCEL_B, n) }
    :: atomic { IN_FLIGHT(CANCELLED_B, n) > 0 -> take(CANCELLED_B, n) }
    :: atomic { IN_FLIGHT(BEGUN, n) > 0 -> take(BEGUN, n) }
    :: atomic { !hasForgotten && move[n] == moved && b[n] == adopted && IN_FLIGHT(FIRST_BYTE, n) == 0 ->
        send(FIRST_BYTE, n) }
    od
}

/* ---- The worker ---- */

proctype Worker() {
    byte n;
end:
    do
    :: atomic { isWorkerTold[0] || isWorkerTold[1] ->
        if
        :: isWorkerTold[0] -> n = 0
        :: else -> n = 1
        fi;
        isWorkerTold[n] = false;
        if
        :: proxy == A -> proxy = B; move[n] = moved; send(ACK_A, n); send(FIRST_BYTE, n)
        :: else -> move[n] = void; send(NACK_A, n); send(CANCEL_B, n)
        fi }
    /* A connection whose server was reset or has died ends; that of an offer that B has stays. */
    :: atomic { a == was_reset && proxy == A && !isWorkerTold[0] && !isWorkerTold[1] -> proxy = NOBODY }
    :: atomic { isDead && proxy == A && !isWorkerTold[0] && !isWorkerTold[1] && move[0] != asking && move[1] != asking &&
        move[0] != granting && move[1] != granting -> proxy = NOBODY }
    od
}

/* ---- B, one offer ---- */

proctype Second(byte n) {
end:
    do
    :: atomic { IN_FLIGHT(TRANSFER, n) > 0 -> take(TRANSFER, n);
        if
        /* The same connection of an earlier offer: TUPLE_IN_USE. */
        :: b[n] == nothing && b[1 - n] == adopted -> b[n] = ended
        :: b[n] == nothing && b[1 - n] != adopted ->
            b[n] = adopted;
#ifdef BROKEN_BEGIN
            b[n] = going_on; checkOwners();
#endif
            send(ACK_B, n)
        :: b[n] == adopted -> send(ACK_B, n)
        :: else
        fi }
    :: atomic { b[n] == adopted && IN_FLIGHT(ACK_B, n) == 0 && move[n] == asking -> send(ACK_B, n) }
    :: atomic { IN_FLIGHT(CANCEL_B, n) > 0 -> take(CANCEL_B, n);
        assert(b[n] != going_on);
        b[n] = ended; send(CANCELLED_B, n) }
    /* The director's word, or a packet of the client's, which comes only after the change. */
    :: atomic { IN_FLIGHT(FIRST_BYTE, n) > 0 -> take(FIRST_BYTE, n);
        if
        :: b[n] == adopted ->
            b[n] = going_on; announcedB = true; checkOwners();
#ifdef BROKEN_BLOB
            assert(position == blob[0]);
#else
            assert(position == blob[n]);
#endif
            send(BEGUN, n)
        :: b[n] == going_on -> send(BEGUN, n)
        :: else
        fi }
    :: atomic { b[n] == adopted && proxy == B && move[n] == moved -> b[n] = going_on; announcedB = true; checkOwners();
        assert(position == blob[n]) }
    /* 120 s without either. */
    :: atomic { b[n] == adopted && move[n] != moved && (move[n] == void || hasForgotten) && !isWorkerTold[n] ->
        b[n] = ended }
    od
}

/* ---- The forwarder ---- */

proctype Forwarder() {
end:
    do
    /* A's announcement, as late as it likes, and as often. */
    :: atomic { announcedA ->
        if
#ifdef BROKEN_GENERATION
        :: mapping = A
#else
        :: generation == 0 && !isUnmapped -> mapping = A
        :: else
#endif
        fi;
        announcedA = false }
    :: atomic { announcedB && SPEAKS_B ->
        if
        :: mapping = B; generation = 1
        :: true                                          /* lost */
        fi;
        announcedB = false }
    /* Said again until it is answered. */
    :: atomic { unmapping -> unmapping = false;
#ifndef BROKEN_UNMAP
        isUnmapped = true;
        if
        :: generation == 0 -> mapping = NOBODY
        :: else
        fi
#endif
    }
    od
}

proctype Fate() {
end:
    atomic { mayRestart && a == mute -> mayRestart = false; hasForgotten = true;
        /* What the worker has been told, it does. */
    }
}

init {
    atomic { run First(); run Control(0); run Control(1); run Worker(); run Second(0); run Second(1); run Forwarder(); run Fate() };
    timeout -> atomic {
        assert(a != mute);
        assert(SPEAKS_A || SPEAKS_B || proxy == NOBODY || (isDead && proxy == A) || a == was_reset);
        assert(b[0] != adopted && b[1] != adopted);
        assert(!SPEAKS_A || proxy == A);
        assert(!SPEAKS_B || proxy == B);
        /* By the mapping, or by the classifier. */
        assert(!SPEAKS_A || mapping == A || mapping == NOBODY);
        assert(!SPEAKS_B || mapping == B || mapping == NOBODY)
    }
}
