import Foundation
import Synchronization

/// SIGINT and SIGTERM as a flag, for commands that finish what they have begun.
public enum InterruptSignal {
    private static let flag = Atomic<Bool>(false)

    public static func listen() {
        // Made now: a signal's handler must not be the first to touch it.
        flag.store(false, ordering: .relaxed)
        for number in [SIGINT, SIGTERM] {
            signal(number) { _ in InterruptSignal.flag.store(true, ordering: .relaxed) }
        }
    }

    public static var isRaised: Bool { flag.load(ordering: .relaxed) }
}
