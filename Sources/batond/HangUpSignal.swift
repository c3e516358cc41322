import Control
import Foundation
import Logging
import Operator
import StrictYAML

/// SIGHUP: as `batonctl reload`, with its answer in the log.
enum HangUpSignal {
    private static var set: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGHUP)
        return set
    }

    /// For this thread and all that it starts.
    static func block() {
        var set = set
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// A thread that waits for it, reads the file, and hands it to the control core.
    static func reload(from source: ConfigurationSource, by mailbox: OperatorMailbox, logger: Logger) {
        let thread = Thread {
            var (set, received) = (set, Int32(0))
            while sigwait(&set, &received) == 0 {
                let loaded = source.load()
                for problem in loaded.problems {
                    logger.log(level: problem.isError ? .error : .warning, "\(problem)")
                }
                guard loaded.configuration != nil else {
                    logger.error("not reloaded: the configuration stays as it is")
                    continue
                }
                let isAccepted = mailbox.submit(.reload(isDryRun: false), loaded: loaded) { response in
                    if case .failure(let why) = response { logger.error("not reloaded: \(why)") }
                }
                if !isAccepted { logger.error("not reloaded: too many requests wait already") }
            }
        }
        thread.name = "hang-up"
        thread.start()
    }
}
