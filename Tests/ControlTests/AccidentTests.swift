import CRTP
import Control
import InterCore
import Testing
import Wire

/// A download goes from one proxy to another, and one of the boxes dies at one of the messages: the table in
/// `docs/failures.md`, each cell of it.
@Suite struct AccidentTests {
    /// What becomes of the connection.
    enum Fate: String, CustomStringConvertible {
        /// The proxy that had it goes on.
        case stays
        /// The other one goes on.
        case moves
        /// Its server has died, or nobody can say any more whose it is: its client opens another.
        case lost
        var description: String { rawValue }
    }

    /// A message of the move, by the way that it takes.
    enum Moment: String, CaseIterable, CustomStringConvertible {
        case handBack, blobFromFirst, offer, blobToSecond, transfer, acknowledgement, firstByte, begun, moved
        var description: String { rawValue }

        var frame: (type: MessageType, agent: Int, isToDirector: Bool) {
            switch self {
            case .handBack: (.terminate, 0, false)
            case .blobFromFirst: (.blob, 0, true)
            case .offer: (.transfer, 0, true)
            case .blobToSecond: (.blob, 1, false)
            case .transfer: (.transfer, 1, false)
            case .acknowledgement: (.transferACK, 1, true)
            case .firstByte: (.firstByte, 1, false)
            case .begun: (.firstByte, 1, true)
            case .moved: (.transferACK, 0, false)
            }
        }
    }

    static let cells = Moment.allCases.flatMap { moment in
        Simulation.Accident.Victim.allCases.flatMap { victim in [true, false].map { (moment, victim, $0) } }
    }

    @Test(arguments: cells.indices) func oneServerOrNone(cell: Int) {
        let (moment, victim, isBefore) = Self.cells[cell]
        var conditions = Simulation.Conditions()
        conditions.delayMicroseconds = 50...60
        conditions.laterRequests = .move
        conditions.isEndless = true
        var simulation = Simulation.ready(seed: 5, conditions) { $0.crtp.algorithm = .enforced }
        simulation.at(simulation.now, .arrival(20_000))
        simulation.run(until: simulation.now + 50_000)
        let key = simulation.agents[0].adoptions.values.first!.key
        _ = simulation.core.setAlgorithm(.roundRobin)
        let (type, agent, isToDirector) = moment.frame
        simulation.accident = Simulation.Accident(
            type: type, agent: agent, isToDirector: isToDirector, victim: victim, isBefore: isBefore)
        _ = simulation.core.set(.evacuate, proxy: "p0", now: simulation.now)
        simulation.carryOut()
        simulation.run(until: simulation.now + 200_000_000)
        #expect(simulation.accident?.hasHappened == true)
        #expect(simulation.agents.allSatisfy { $0.failures.isEmpty }, "\(simulation.agents.map(\.failures))")
        let speakers = simulation.agents.indices.filter { simulation.agents[$0].speaks(to: key) }
        let fate: Fate = speakers == [0] ? .stays : speakers == [1] ? .moves : .lost
        #expect(speakers.count <= 1)
        // Nobody waits: whoever does not speak has nothing left of it.
        #expect(simulation.agents.allSatisfy { $0.adoptions.values.allSatisfy(\.speaks) })
        #expect(fate == Self.expected(moment, victim, isBefore), "\(moment), \(victim), before: \(isBefore)")
    }

    /// Whether the frame was read makes no difference anywhere: what its reader would have done, somebody does again.
    static func expected(_ moment: Moment, _ victim: Simulation.Accident.Victim, _ isBefore: Bool) -> Fate {
        switch (moment, victim) {
        case (.handBack, .first), (.blobFromFirst, .first): .lost
        case (.handBack, .director), (.blobFromFirst, .director): .stays
        case (.offer, .director), (.blobToSecond, .director), (.transfer, .director), (.acknowledgement, .director):
            .lost
        case (.acknowledgement, .second), (.firstByte, .second), (.begun, .second), (.moved, .second): .lost
        case (_, .first), (_, .second), (_, .director): .moves
        }
    }
}
