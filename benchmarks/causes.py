"""What is known of goals that are missed; `python -m benchmarks.profiled` shows the profiles."""

LATE_LINES = (
    "the late ones come while the jobs are being submitted, or filed: the thread that submits and the"
    " background thread share one interpreter, and with other programs (see the load above) the machine"
)
STREAMS = (
    "more than a third is the work at the two ends of a job that fal_client leaves to its user (ledger,"
    " download, check, sidecar: compare × 6 s). Of a line, httpcore and h11 take a fifth, parsing (events,"
    " JSON, status) a third, time limits a tenth, the job and its listeners a fifth: small steps, all in"
    " Python. fal_client spares itself work where it does not keep up: it got {polls} requests a job through,"
    " and alone asks for about 500"
)
INSTANT = (
    "no one thing stands out in the profile: httpx, httpcore and h11 take two fifths, the submitting thread a"
    " fifth (settings, plan, claim), what is downloaded, checked and stored an eighth; the rest are small"
    " steps of the job and of asyncio. A job is 5 requests where the limit does 4 (or 3), a submission shares"
    " no connection, and its row, file and sidecar are each safe on the disk before the next step"
)
SWEEP = (
    "compared to plain httpx, a job has one more connection (a submission shares none), six durable commits,"
    " a first frame decoded, a file and a sidecar synced: all of it CPU of one interpreter, with what the"
    " five requests cost themselves, so it shows most where a core is slow"
)
DOWNLOAD = "hashing and writing run parallel to the connection, and need the second core to be free"
UPLOAD = (
    "asyncio copies what the socket does not take at once, and blocks are read in threads: more CPU than"
    " plain httpx, which the second core hides where it is free"
)
COLD = (
    "imports, one after the other in one interpreter: our own modules and httpx, then the certificates of"
    " TLS; the widget is imported after the submission. All of it is CPU: a slow or busy machine shows"
)
WARM = (
    "settings, the look into folder and ledger, the commit of the row and the request, all in one interpreter"
    " and in turn between its threads; the tree of `profiled kling` has none that stands out"
)
RENDER = (
    "rendering takes {cpu:.2f} s of CPU, {drawing:.2f} s of it in the thread that draws, the rest in x264's"
    " two threads: the drawing alone is the limit of a machine on which it takes half a second"
)
GROWTH = (
    "the smallest of these runs varies by a third, and the ratio with it. Within one process of 960 jobs, the"
    " last 60 cost no more than the first 60"
)
START = "the time passes in imports; the extension in the same row shows how busy the machine is"
LAG = "the ticker of the idle kernel in the same row shows how much of this is other work of the machine"
