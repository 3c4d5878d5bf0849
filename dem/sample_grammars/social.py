"""Social: chats between friends and short posts, in casual speech."""

from dem.sample_grammars.form import Grammar, Kind, lines, maybe, one, some, table, words

SOCIAL_SLOTS = {
    "nick": words(
        "은우 지안 하린 도현 수빈 태이 유진 채운 서하 시우 예나 다현 가은 현오 소민 재인 나경 "
        "건우 로운 세아 윤호 혜린 찬이 보미 솔이 단우 하율 리나 주하 온이"
    ),
    "A": ("{nick1}:",),
    "B": ("{nick2}:",),
    "lol": words("ㅋㅋ ㅋㅋㅋ ㅋㅋㅋㅋ ㅎㅎ ㅎ ㅋ ㅋㅋㅋㅋㅋ ㅎㅎㅎ"),
    "cry": ("ㅠㅠ", "ㅠ", "ㅜㅜ", "ㅠㅠㅠ", "ㅜ", "T_T", "ㅠㅜ"),
    "face": ("^^", ":)", ";)", "(>_<)", "^^;", ":D", ">_<", "(._.)", "!!", "~~", ":P"),
    "hey": words("야 헐 아니 있잖아 근데 오 저기 야야 잠만 얘들아"),
    "yes": words("ㅇㅇ ㅇㅋ 콜 오키 그래그래 좋아 웅 당연하지 오케이 그러자"),
    "no": words("ㄴㄴ 아니 노노 에이 음 아니아니"),
    "so": words("진짜 완전 너무 넘 엄청 찐으로 대박 은근 겁나"),
    "wow": words("대박 실화냐 레전드 헐 말도_안_돼 와 ㄷㄷ 오오 소름 우와 세상에"),
    "ok": words("{~yes} {~yes}_{~lol} {~yes}_{~face}"),
    "hour": range(1, 12),
    "min": range(5, 60, 5),
    "wait": range(5, 45, 5),
    "day": words("월요일 화요일 수요일 목요일 금요일 토요일 일요일 이번_주말 다음_주"),
    "greet": lines("""
        {A} {~hey} 뭐해|{B} 나 그냥 누워있음 {~lol}
        {A} {nick2:아/야} 자?|{B} {~no} 안 자 왜
        {A} 바빠?|{B} 아니 말해 {~face}
        {A} {~hey} 나 할 말 있음|{B} 뭔데 뭔데 {~lol}
        {A} 살아있냐 {~lol}|{B} 겨우 살아있음 {~cry}
        {A} 야아아|{B} 왜애애 {~lol}
        {A} {nick2:아/야} 급해|{B} 왜 무슨 일이야
    """),
    "goodbye": lines("""
        {A} 그럼 이따 봐 {~face}|{B} {~ok}
        {A} 나 이제 씻으러 감 ㅂㅂ|{B} ㅂㅂ {~face}
        {B} 나 폰 꺼질 듯 이따 연락할게|{A} {~ok}
        {A} 졸려 먼저 잔다|{B} 잘자 {~lol}
        {B} 엄마가 부른다 나중에 톡할게|{A} {~ok}
        {A} 역시 너밖에 없다 {~cry}|{B} 이제 알았냐 {~lol}
        {B} 암튼 내일 얘기하자|{A} ㅇㅋㅇㅋ
    """),
}

SOCIAL_MEET = Kind(
    joiner="\n",
    tables=(
        table(
            "place act thing",
            """
        영화관; 영화 보기, 팝콘 먹기; 팝콘, 나초
        만화카페; 만화 정주행, 라면 먹기; 라면, 컵떡볶이
        노래방; 노래 부르기, 듀엣 부르기; 탬버린, 마이크
        한강; 자전거 타기, 치킨 먹기; 치킨, 돗자리
        놀이공원; 롤러코스터 타기, 퍼레이드 보기; 머리띠, 츄러스
        방탈출; 공포 테마 하기, 신작 테마 하기; 힌트, 기록 사진
        볼링장; 볼링 치기, 내기하기; 볼링화, 음료수
        전시회; 사진전 보기, 굿즈 구경; 엽서, 포스터
        찜질방; 식혜 마시기, 뒹굴기; 식혜, 맥반석 달걀
        보드게임 카페; 마피아 하기, 카드 게임 하기; 과자, 음료수
    """,
        ),
    ),
    slots={
        "exit": range(1, 9),
        "close": range(9, 13),
        "station": words("호수역 은하역 솔빛역 강변삼거리 시계탑 중앙분수 달빛역 학교_정문 구름역"),
        "late": words("버스 알람 지갑_찾기 엄마_심부름 머리_말리기 택배 길_막힘 낮잠 우산_찾기"),
        "money": range(6000, 30000, 1000),
    },
    parts=(
        one("{greet}"),
        one("""
            {A} {day}에 {place} 갈래?|{B} {~ok}
            {A} 우리 {place} 언제 가|{B} {day} 어때 {~face}
            {B} {day}에 시간 됨?|{A} {~yes} {place} 고고 {~lol}
        """),
        some(
            3,
            5,
            """
            {A} {hour}시 {station} 어때|{B} {~so} 좋아 {~lol}
            {B} 어디서 봐|{A} {station} {exit}번 출구 앞
            {A} 가서 {act:은/는} 꼭 하자|{B} {~wow} 나도 그 생각함 {~lol}
            {B} {thing:은/는} 내가 쏜다|{A} {~wow} {nick2} 최고 {~face}
            {A} {place} 할인 쿠폰 있음 {money}원 굳음|{B} {~wow} {~lol}
            {A} {nick3:이도/도} 부를까?|{B} {~yes} {nick3} 오면 {~so} 재밌지
            {B} 비 오면 어떡해 {~cry}|{A} {place:은/는} 우산 쓰고라도 간다 {~lol}
            {A} 지난번처럼 늦지 마라 {~lol}|{B} 그땐 {late} 때문이었지 {~cry}
            {B} 근데 {act} 몇 시까지 돼?|{A} 찾아보니까 밤 {close}시까지래
        """,
        ),
        some(
            1,
            2,
            """
            {B} 미안 {late} 땜에 {~cry} {wait}분 늦을 듯|{A} 또냐 {~lol} {station}에서 기다림
            {A} 나 도착|{B} 벌써?? 나 {wait}분만 {~cry}
            {A} {station} 도착하면 톡해|{B} {~ok}
        """,
        ),
        maybe("{goodbye}"),
    ),
)

SOCIAL_EXAM = Kind(
    joiner="\n",
    tables=(
        table(
            "subject hard",
            """
        수학; 함수, 확률, 도형, 수열
        영어; 단어, 듣기, 문법, 서술형
        과학; 전자기, 화학식, 유전, 지구과학
        역사; 연표, 인물, 지도 문제, 사료 문제
        국어; 비문학, 고전시가, 문법, 서술형
        통계학; 가설 검정, 회귀, 분포표, 조건부 확률
        프로그래밍; 재귀, 포인터, 정렬, 디버깅
        한문; 부수, 사자성어, 독음, 풀이
    """,
        ),
    ),
    slots={
        "score": range(42, 100),
        "goal": range(70, 101, 5),
        "pages": range(20, 260, 5),
        "snack": words("초코바 에너지드링크 컵라면 떡볶이 젤리 아아 삼각김밥 붕어빵 요거트 감자칩"),
        "spot": words("도서관 독서실 카페 학교_열람실 우리_집 빈_강의실"),
        "task": words("과제 조별과제 시험 쪽지시험 발표 레포트 퀴즈"),
    },
    parts=(
        one("{greet}"),
        one("""
            {A} {subject} {task} 언제야?|{B} {day} {~cry}
            {A} 야 {subject} {task} 준비함?|{B} {~no} 하나도 안 함 {~lol}
            {B} {subject} {task} {~so} 망할 듯 {~cry}|{A} 나도 {~cry}
        """),
        some(
            3,
            5,
            """
            {A} {hard} 진짜 하나도 모르겠음|{B} {hard:은/는} 그냥 외워 {~lol}
            {B} 범위 {pages}쪽 실화냐|{A} {~wow} {~cry}
            {A} {spot}에서 같이 할래?|{B} {~ok} {hour}시에 갈게
            {B} 나 {snack} 사감 너도 먹을?|{A} {~wow} {nick2:이가/가} 천사다 {~face}
            {A} {hard2} 나오면 찍는다|{B} 나는 {hard2}만 나오면 좋겠음 {~lol}
            {A} 목표 {goal}점|{B} 나는 {goal}점 넘으면 {snack} 쏜다 {~lol}
            {B} 밤새면 오히려 망함|{A} ㅇㅈ {hour}시엔 자야지 {~face}
            {A} {nick3:이는/는} {subject} 다 끝냈대|{B} {~wow} 걔는 {~so} 부지런해
            {B} {hard} 정리한 거 있어?|{A} {~yes} 사진 찍어 보낼게
        """,
        ),
        some(
            1,
            2,
            """
            {A} 저번에 {subject} {score}점 나왔잖아 {~cry}|{B} 이번엔 다르다 {~lol} 파이팅
            {A} 끝나면 뭐 할래|{B} 일단 잔다 {~lol} 그다음 {snack}
            {B} {task} 끝나면 놀자|{A} {~ok} {day}에 봄
        """,
        ),
        maybe("{goodbye}"),
    ),
)

SOCIAL_FOOD = Kind(
    joiner="\n",
    tables=(
        table(
            "food option side",
            """
        치킨; 양념, 간장, 마늘맛, 반반; 치즈볼, 무, 콜라
        피자; 고구마, 불고기, 치즈, 하와이안; 스파게티, 피클, 갈릭소스
        마라탕; 1단계, 2단계, 3단계; 꿔바로우, 볶음밥, 빙홍차
        떡볶이; 순한맛, 로제, 매운맛; 순대, 김말이, 쿨피스
        짜장면; 곱빼기, 간짜장, 쟁반짜장; 탕수육, 군만두, 단무지
        햄버거; 새우, 더블, 치즈; 감튀, 밀크쉐이크, 너겟
        초밥; 연어, 모둠, 광어; 우동, 새우튀김, 계란말이
        족발; 앞발, 불족, 반반; 막국수, 주먹밥, 쌈무
        빙수; 팥, 딸기, 인절미; 토스트, 떡, 연유
        라면; 매운맛, 짜장맛, 해물맛; 김치, 찬밥, 달걀
    """,
        ),
    ),
    slots={
        "price": range(9000, 38000, 1000),
        "shop": words("새로_생긴_집 골목집 단골집 역_앞_가게 학교_앞_가게 24시_가게"),
        "diet": range(1, 9),
        "coupon": range(1000, 6000, 1000),
    },
    parts=(
        one("{greet}"),
        one("""
            {A} 배고파 {~cry}|{B} {food} 시킬래?
            {A} 오늘 {food} 각이다|{B} {~yes} {~so} 땡김 {~lol}
            {B} 저녁 뭐 먹지|{A} {food} 어때 {~face}
        """),
        some(
            4,
            6,
            """
            {A} {option:으로/로} 할까|{B} {~no} {option2:이/가} 진리지 {~lol}
            {B} {side}도 추가하자|{A} {~ok}
            {A} 다 해서 {price}원|{B} 반반 하자 계좌 보내줘
            {B} {shop} {food} {~so} 맛있대|{A} {~wow} 거기로 ㄱㄱ
            {A} 배달 {wait}분 걸린대 {~cry}|{B} 기다리다 쓰러짐 {~lol}
            {A} 다이어트 {diet}일째였는데|{B} {food} 앞에선 무효 {~lol}
            {B} 쿠폰 {coupon}원 있음|{A} {~wow} {nick2:이가/가} 다 했다
            {A} {side2:은/는} 내 거다|{B} {~no} 나눠 먹어 {~lol}
            {B} {nick3:이도/도} 부르자|{A} 걔 오면 {food} 두 개 시켜야 됨 {~lol}
        """,
        ),
        one("""
            {A} 왔다!!|{B} {~wow} 냄새 {~so} 좋아 {~face}
            {A} 다 먹음 배 터짐 {~lol}|{B} 다음엔 {option2} 가자
            {B} 역시 {food:은/는} {option2:이야/야}|{A} ㅇㅈ {~lol}
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_GAME = Kind(
    joiner="\n",
    tables=(
        table(
            "game role item",
            """
        슈팅 게임; 저격수, 힐러, 탱커; 스코프, 구급상자
        레이싱 게임; 1등, 방해꾼, 꼴찌; 부스터, 바나나
        농장 게임; 농부, 어부, 광부; 호박 씨앗, 황금 물뿌리개
        카드 게임; 선공, 후공, 딜러; 전설 카드, 뽑기권
        축구 게임; 골키퍼, 공격수, 수비수; 선수팩, 유니폼
        리듬 게임; 드럼, 기타, 보컬; 신곡, 하트
        건축 게임; 벽돌공, 설계자, 탐험가; 다이아 곡괭이, 횃불
        낚시 게임; 낚시꾼, 선장, 요리사; 황금 미끼, 새 낚싯대
    """,
        ),
    ),
    slots={
        "level": range(7, 99),
        "losses": range(2, 12),
        "rank": words("브론즈 실버 골드 플래티넘 다이아"),
        "tries": range(2, 90),
        "excuse": words("렉 손가락_얼음 마우스_고장 고양이가_키보드_밟음 동생이_와이파이_씀 졸림"),
    },
    parts=(
        one("{greet}"),
        one("""
            {A} {game} 들어와|{B} 5분만 {~lol}
            {A} 한 판 ㄱ?|{B} {game}? {~ok}
            {B} 오늘 {game} 하는 사람|{A} 나나 {~face}
        """),
        some(
            4,
            6,
            """
            {A} 내가 {role} 할게|{B} 그럼 난 {role2} {~lol}
            {B} {item} 떴다!!|{A} {~wow} {tries}번 만에 {~lol}
            {A} {losses}연패 실화냐 {~cry}|{B} {excuse} 때문임 인정?
            {B} 나 드디어 {rank}|{A} {~wow} 축하축하 {~face}
            {A} {nick3:이가/가} {role3:으로/로} 캐리함|{B} 걔 {~so} 잘해
            {A} {item2:을/를} 왜 안 써 {~lol}|{B} 아끼다가 못 씀 {~cry}
            {B} 지금 레벨 {level}|{A} 벌써? {~so} 빠르네
            {A} 핑 튄다|{B} {excuse:이라/라} 쓰고 실력이라 읽는다 {~lol}
            {B} 업데이트 하고 {role} {~so} 약해짐|{A} ㄹㅇ {~cry}
        """,
        ),
        one("""
            {A} 막판 ㄱ|{B} 그 말만 세 번째 {~lol}
            {A} 이겼다!!!|{B} {~wow} {nick1} 캐리 {~face}
            {B} 내일 {hour}시에 {game} 또 ㄱㄱ|{A} {~ok}
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_PET = Kind(
    joiner="\n",
    tables=(
        table(
            "pet deed treat spot",
            """
        고양이; 꾹꾹이, 우다다, 골골송; 츄르, 북어 트릿; 캣타워, 박스, 내 키보드 위
        강아지; 배 뒤집기, 산책 조르기, 신발 물어오기; 개껌, 고구마; 소파, 현관 앞, 내 발밑
        햄스터; 쳇바퀴 돌리기, 볼 빵빵하게 먹기; 해바라기씨, 옥수수; 톱밥 속, 은신처, 쳇바퀴
        앵무새; 말 따라 하기, 휘파람 불기; 해바라기씨, 사과 조각; 어깨 위, 커튼 봉, 새장 지붕
        토끼; 코 벌름거리기, 빙키; 건초, 당근 잎; 침대 밑, 상자, 베란다
        거북이; 목 쭉 빼기, 느릿느릿 산책; 상추, 새우; 돌 위, 수조 구석, 히터 밑
    """,
        ),
    ),
    slots={
        "name": words(
            "두부 콩이 보리 감자 모카 호두 망고 구름이 찰떡이 초코 라떼 만두 몽실이 땅콩 치즈 쿠키 율무 밤톨이"
        ),
        "grams": range(10, 90, 5),
        "months": range(3, 30),
        "broken": words("컵 화분 이어폰 과제_프린트 휴지 쿠션 충전선"),
        "doctor": words("예방접종 건강검진 발톱_깎기 목욕 미용"),
    },
    parts=(
        one("""
            {A} 우리 {name} 사진 볼래?|{B} {~wow} 당장 보내 {~lol}
            {A} {~hey} {name:이/가} 방금 {deed} 함|{B} {~wow} 영상 있어?
            {B} {name} 잘 있어?|{A} {~so} 잘 있지 {~face} {pet} 팔자가 상팔자야
        """),
        some(
            5,
            7,
            """
            {A} {name} 지금 {spot}에서 잠 {~lol}|{B} 귀여워 {~cry}
            {B} {name} 몇 개월이지?|{A} 이제 {months}개월
            {A} {treat} 줬더니 {deed} 하더라|{B} {~so} 똑똑하다
            {A} 오늘 {name:이/가} {broken} 망가뜨림 {~cry}|{B} {pet:이/가} 그럴 수도 있지 {~lol}
            {B} 나도 {pet} 키우고 싶다 {~cry}|{A} {name} 보러 와 {~face}
            {A} {day}에 {doctor} 가야 됨|{B} {name} 파이팅 {~cry}
            {B} {treat2} 사 갈게|{A} {~wow} {name:이/가} 좋아하겠다 {~lol}
            {A} 살쪄서 {grams}그램 늘었대|{B} {treat} 줄여야겠네 {~lol}
            {A} {spot2}만 가면 안 나와|{B} {treat:으로/로} 꼬셔봐 {~lol}
            {B} {name} {deed2} 한 번만 더 보여줘|{A} {~ok}
        """,
        ),
        one("""
            {A} 지금 내 옆에서 {deed2} 중|{B} 부럽다 {~cry}
            {B} 주말에 {name} 보러 간다|{A} {~ok} {hour}시에 와
            {A} 집사는 {name} 밥 주러 간다|{B} {~lol} 수고
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_SHOW = Kind(
    joiner="\n",
    tables=(
        table(
            "show part fan brag",
            """
        드라마; 마지막 회, 고백 장면, 반전, 예고편; 남주, 여주, 서브 주인공; {episode}화까지 정주행함, \
            {episode}화 세 번 돌려봄
        콘서트; 앙코르, 첫 곡, 무대 장치, 떼창; 보컬, 드러머, 댄서; {seat}열 잡았다!!, 예매 대기 {crowd}명 \
            뚫음
        예능; 몰래카메라, 게임 코너, 벌칙, 첫 방송; 막내, 진행자, 게스트; {episode}화까지 정주행함, \
            {episode}화 세 번 돌려봄
        웹툰; 이번 화, 작화, 반전, 외전; 주인공, 악당, 조연; {episode}화까지 정주행함, {episode}화 세 번 \
            돌려봄
        뮤지컬; 커튼콜, 솔로곡, 2막, 의상; 주연, 앙상블, 지휘자; {seat}열 잡았다!!, 예매 대기 {crowd}명 뚫음
        애니; 엔딩곡, 변신 장면, 최종화, 성우 연기; 주인공, 라이벌, 마스코트; {episode}화까지 정주행함, \
            {episode}화 세 번 돌려봄
        축제 공연; 불꽃놀이, 댄스 무대, 밴드 공연, 앙코르; 동아리 선배, 사회자, 우리 과 대표; 앞에서 \
            {seat}번째 줄 맡음, 줄 서서 {wait}분 기다림
    """,
        ),
    ),
    slots={
        "title": words(
            "달토끼_우체국 여름의_온도 비밀_옥상 심야_정거장 초록_신호 별난_하숙집 구름_세탁소 "
            "마지막_버스 유리_정원 오늘도_지각"
        ),
        "episode": range(2, 31),
        "seat": range(1, 40),
        "crowd": range(20, 900, 10),
        "goods": words("포토카드 응원봉 포스터 키링 엽서 티셔츠 스티커"),
    },
    parts=(
        one("{greet}"),
        one("""
            {A} 너 {title} 봤어?|{B} 그 {show}? {~yes} {~lol}
            {A} {title} {part} {~wow}|{B} 스포 금지 {~cry}
            {B} 요즘 뭐 봐|{A} {title} 보는데 {~so} 재밌어 {~face}
        """),
        some(
            4,
            6,
            """
            {A} {part}에서 울었음 {~cry}|{B} 나도 휴지 한 통 씀 {~lol}
            {B} {fan} {~so} 멋있지 않냐|{A} ㅇㅈ {fan} 때문에 봄 {~lol}
            {A} 나 {brag}|{B} {~wow} 난 아직 {part}도 못 봄 {~cry}
            {B} {goods} 샀다 {~face}|{A} {~wow} 나도 하나만 {~cry}
            {B} {part3} 얘기 하고 싶어서 입 근질|{A} 참아 {~lol} 나 아직임
            {A} {part}만 열 번 돌려봄|{B} 나는 {part2} {~lol}
            {B} {part2:은/는} 좀 노잼|{A} {~no} 난 꿀잼이었는데 {~lol}
            {A} {fan2:이/가} 다음에 또 나온다던데|{B} 스포하지 말라고 {~cry}
            {B} {title} 노래 하루 종일 듣는 중|{A} {~lol} 나도 흥얼거림
        """,
        ),
        one("""
            {A} {day}에 같이 보자|{B} {~ok}
            {B} {title} 다음 시즌 나온대|{A} {~wow} 기다린다 {~lol}
            {A} 다 보면 감상 말해줘|{B} {~ok}
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_WORK = Kind(
    joiner="\n",
    tables=(
        table(
            "job duty guest",
            """
        카페 알바; 우유 스팀, 설거지, 원두 갈기, 빨대 채우기; 단골 할머니, 노트북 손님
        편의점 알바; 물건 진열, 유통기한 확인, 택배 접수, 계산; 새벽 손님, 꼬마 손님
        서점 알바; 책 정리, 재고 조사, 포장, 신간 진열; 동화책 찾는 아이, 시집 찾는 할아버지
        학원 알바; 채점, 프린트 뽑기, 출석 확인, 칠판 지우기; 질문 많은 학생, 학부모님
        영화관 알바; 표 확인, 팝콘 튀기기, 상영관 청소, 안내 방송; 단체 손님, 커플 손님
        빵집 알바; 포장, 오픈 준비, 쟁반 닦기, 진열; 식빵 손님, 단골 아저씨
        전시장 알바; 입장 안내, 안내문 나눠주기, 줄 세우기, 의자 접기; 유치원 단체, 외국인 손님
    """,
        ),
    ),
    slots={
        "pay": range(30000, 180000, 5000),
        "tip": words("사탕 귤 음료수 쿠키 손편지 초콜릿"),
        "hours": range(3, 11),
        "boss": words("사장님 점장님 매니저님 실장님"),
        "buy": words("신발 이어폰 기타 자전거 운동복 책 콘서트_표"),
    },
    parts=(
        one("{greet}"),
        one("""
            {A} 나 오늘 {job} 첫날이야|{B} {~wow} 긴장돼? {~lol}
            {A} {job} {hours}시간 하고 옴 {~cry}|{B} 고생했다 {~cry}
            {B} {job} 할 만해?|{A} {~so} 정신없음 {~lol}
        """),
        some(
            4,
            6,
            """
            {A} {duty:이/가} {~so} 힘들어 {~cry}|{B} {duty2}보다 힘들어? {~lol}
            {B} {boss:은/는} 어때|{A} {boss} {~so} 좋으셔 {~face}
            {A} {guest:이/가} {tip} 주고 감|{B} {~wow} 감동이다 {~cry}
            {A} {duty2:을/를} 하다가 실수함|{B} 괜찮아 {boss}도 그랬을걸 {~lol}
            {B} 월급 타면 뭐 해|{A} {buy:을/를} 살 거야 {~face}
            {A} 이번 주 {pay}원 벌었다|{B} {~wow} 부자네 {~lol} 밥 사
            {B} {nick3:이도/도} {job} 구한대|{A} 우리 {boss}한테 물어볼게
            {A} {guest2} {wait}분 동안 고민함 {~lol}|{B} {~wow} 그걸 다 기다려줌?
            {A} {day}에 대타 되는 사람 {~cry}|{B} 나 가능 {hour}시부터
        """,
        ),
        one("""
            {B} 끝나면 데리러 갈까?|{A} {~wow} {nick2} 최고 {~cry}
            {A} 발 아파 죽겠다 {~cry}|{B} 오늘은 푹 쉬어 {~face}
            {A} 그래도 {duty3:은/는} 재밌음|{B} 적응했네 {~lol}
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_GIFT = Kind(
    joiner="\n",
    tables=(
        table(
            "event gift prank",
            """
        생일; 머그컵, 향초, 무드등, 목도리; 케이크 숨기기, 불 끄고 노래하기
        집들이; 휴지, 화분, 디퓨저, 쟁반; 초인종 누르고 숨기, 현관에 풍선 달기
        졸업식; 꽃다발, 만년필, 앨범, 인형; 플래카드 들기, 단체 티 맞추기
        크리스마스; 양말, 쿠키 세트, 목도리, 스노볼; 산타 옷 입기, 마니또 하기
        개업식; 화분, 시계, 방명록, 쿠키 세트; 첫 손님 되기, 깜짝 주문하기
        퇴사 파티; 여행 가방, 수면 안대, 롤링페이퍼, 슬리퍼; 영상 편지 틀기, 상장 만들기
    """,
        ),
    ),
    slots={
        "money": range(10000, 60000, 5000),
        "people": range(3, 8),
        "cake": words("딸기 초코 고구마 치즈 당근 녹차 티라미수"),
        "wrap": words("리본 신문지 보자기 투명_봉투 종이_상자 반짝이_포장지"),
    },
    parts=(
        one("""
            {A} {~hey} {nick3} {event} {day}인 거 알지?|{B} 헐 까먹음 {~cry}
            {A} {nick3} {event} 선물 뭐 사지|{B} 나도 고민 중 {~cry}
            {B} 우리 {nick3} {event} 몰래 준비하자|{A} {~wow} {~ok}
        """),
        some(
            5,
            7,
            """
            {A} {gift} 어때|{B} {~no} {gift:은/는} 작년에 줬잖아 {~lol}
            {B} {gift2:이/가} 낫지 않아?|{A} {~so} 좋다 그걸로 ㄱㄱ
            {A} 예산 {money}원씩|{B} {people}명이니까 넉넉하네 {~face}
            {A} {cake} 케이크 시킬까|{B} {nick3:이가/가} {cake} 좋아함 {~lol}
            {B} {prank}도 하자|{A} {~wow} 눈물 쏙 빼자 {~lol}
            {A} 포장은 {wrap:으로/로}|{B} {wrap}? {~lol} 센스 {~wow}
            {B} {nick3:이한테/한테} 들킬 뻔 {~cry}|{A} 조심해 {~lol} {prank:은/는} 비밀이야
            {A} {nick4:이가/가} {gift3} 맡는대|{B} {~ok} 나는 {cake} 케이크
            {B} 편지도 쓰자|{A} 나 글씨 못 쓰는데 {~cry}
            {A} {hour}시까지 다 모여|{B} 늦는 사람 {prank} 담당 {~lol}
        """,
        ),
        one("""
            {A} {nick3} 표정 봤어?? {~lol}|{B} 사진 찍어둠 {~face}
            {B} {gift2} 받고 울더라 {~cry}|{A} 성공이다 {~lol}
            {A} 다들 고생함 {~face}|{B} {~wow} 뿌듯
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_POST = Kind(
    joiner="\n",
    tables=(
        table(
            "scene feel tag",
            """
        첫눈; 설렌다, 손 시리다, 괜히 걷고 싶다; 겨울, 눈사람, 장갑
        퇴근길 노을; 하루가 다 풀린다, 예쁘다, 울컥한다; 노을, 퇴근, 하늘
        비 오는 창밖; 나른하다, 파전 먹고 싶다, 잠 온다; 비, 우산, 빗소리
        새벽 편의점; 배고프다, 조용하다, 삼김이 맛있다; 새벽, 야식, 삼각김밥
        벚꽃길; 봄이다, 코가 간질간질하다, 심쿵이다; 벚꽃, 봄, 산책
        바닷가; 시원하다, 발가락에 모래가 낀다, 집에 가기 싫다; 바다, 파도, 여름
        동네 놀이터; 추억 돋는다, 그네가 작아졌다, 평화롭다; 동네, 그네, 추억
        만원 버스; 숨 막힌다, 다리 아프다, 내리고 싶다; 출근, 버스, 월요병
        빈 교실; 이상하게 좋다, 조용하다, 졸업이 실감난다; 학교, 방과후, 칠판
        이불 속; 행복하다, 나가기 싫다, 귤이 필요하다; 이불, 귤, 주말
    """,
        ),
    ),
    slots={
        "song": words("달리는_밤 우산_하나 초록불 여름_끝 창가에서 첫차 모래시계 종이달"),
        "eat": words("붕어빵 호떡 아이스크림 식혜 어묵 군고구마 탕후루 핫초코"),
        "temp": range(2, 34),
        "likes": range(3, 220),
        "weeks": range(2, 20),
        "C": ("{nick3}:",),
    },
    parts=(
        one("""
            {nick1}의 오늘 기록 {~face}
            @{nick1} {hour}시 {min}분
            {day}의 {nick1} {~lol}
        """),
        some(
            3,
            4,
            """
            {scene} 보는데 {feel} {~cry}
            지금 {scene} {~so} {feel} {~face}
            {eat} 하나 들고 {scene} 구경 중 {~lol}
            이어폰에서 '{song}' 나옴 {~so} 잘 어울려
            {nick2:이랑/랑} 왔으면 좋았을걸 {~cry}
            {weeks}주 만에 여유 부리는 중 {~face}
            기온 {temp}도래 {~wow}
            사진은 못 찍었는데 눈에 담아둠 {~face}
        """,
        ),
        one("""
            #{tag} #{tag2} #{tag3}
            #{tag} #{eat} #오늘도수고했어
            #{tag2} #{tag} #일상스타 #소통
        """),
        some(
            3,
            5,
            """
            {B} {~wow} 어디야?|ㄴ {A} 우리 동네 {~lol}
            {B} {eat} 나도 사줘 {~cry}|ㄴ {A} 빨리 오면 줌 {~lol}
            {C} {scene} {~so} 좋다 {~face}|ㄴ {A} 담에 같이 오자
            {C} 노래 뭐야?|ㄴ {A} '{song}' 꼭 들어봐 {~face}
            {B} 나 지금 {feel2} {~cry}|ㄴ {A} ㅇㅈ {~lol}
            {C} 하트 {likes}개 눌러도 됨? {~lol}|ㄴ {A} 천 개 눌러줘 {~lol}
            {B} 나도 {day}에 {scene} 찍어 올릴게|ㄴ {C} 기대한다 {~face}
            {C} {eat} 어디서 팔아?|ㄴ {A} 역 앞 트럭 {~face}
        """,
        ),
    ),
)

SOCIAL_LOST = Kind(
    joiner="\n",
    tables=(
        table(
            "thing where owner",
            """
        지갑; 버스 뒷자리, 카페 의자, 체육관 사물함; 초록색 동전 주머니
        이어폰; 도서관 책상, 세탁기 안, 외투 주머니; 곰돌이 케이스
        학생증; 복사기 위, 식당 쟁반, 강의실 바닥; 웃긴 사진
        우산; 지하철 선반, 현관 앞, 우산꽂이; 손잡이 스티커
        노트북 충전기; 동아리방, 열람실 콘센트, 친구 가방; 노란 테이프
        체육복; 탈의실, 운동장 벤치, 세탁소; 이름표
        열쇠; 냉장고 위, 자전거 바구니, 바지 주머니; 오리 열쇠고리
        안경; 베개 밑, 머리 위, 세면대; 빨간 안경줄
    """,
        ),
    ),
    slots={
        "times": range(2, 9),
        "reward": words("밥 커피 아이스크림 떡볶이 노래방 영화_표"),
        "helper": words("경비_아저씨 도서관_사서님 버스_기사님 청소_이모님 카페_사장님"),
    },
    parts=(
        one("""
            {A} 나 {thing} 잃어버림 {~cry}|{B} 헐 언제??
            {A} {~hey} 내 {thing} 못 봤어?|{B} {~no} 못 봤는데
            {B} 왜 이렇게 심각해|{A} {thing:이/가} 없어졌어 {~cry}
        """),
        some(
            5,
            7,
            """
            {B} {where:은/는} 봤어?|{A} 봤는데 없음 {~cry}
            {A} 오늘만 {times}번째 찾는 중|{B} {~lol} 침착해
            {B} 마지막에 어디 있었는데|{A} {where2:이었나/였나} {~cry}
            {B} {owner} 달린 거지?|{A} 맞아 그거 {~cry}
            {A} 찾아주면 {reward} 쏜다|{B} {~wow} 당장 찾으러 감 {~lol}
            {B} 단톡방에 올려봐|{A} 올렸는데 {nick3:이만/만} 읽음 {~cry}
            {A} {helper}한테 물어봤음|{B} 뭐라셔?
            {B} {nick3:이가/가} {where2}에서 봤대|{A} {~wow} 진짜?? {~face}
            {A} 나 {thing} 올해만 {times}개째야|{B} 기록 세우겠네 {~lol}
            {B} 같이 찾아줄게 {wait}분만 기다려|{A} {nick2:아/야} 고마워 {~cry}
        """,
        ),
        one("""
            {A} 찾았다!! {where3}에 있었음 {~lol}|{B} 그럴 줄 알았다 {~lol} {reward} 사
            {A} {helper:이/가} 맡아두셨대 {~cry}|{B} {~wow} 다행이다 {~face}
            {B} 이거 네 {thing} 맞지? {where3}에 있던데|{A} {~wow} 사랑한다 {nick2:아/야} {~cry}
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_FIT = Kind(
    joiner="\n",
    tables=(
        table(
            "sport pain gear",
            """
        헬스; 허벅지, 어깨, 팔뚝; 장갑, 단백질 셰이크
        필라테스; 엉덩이, 옆구리, 허리; 미끄럼 방지 양말, 레깅스
        클라이밍; 손가락, 전완근, 등; 암벽화, 초크
        수영; 어깨, 목, 종아리; 수경, 오리발
        배드민턴; 손목, 무릎, 팔뚝; 셔틀콕, 라켓
        달리기; 종아리, 발바닥, 무릎; 러닝화, 헤어밴드
        복싱; 주먹, 복근, 어깨; 글러브, 줄넘기
        등산; 무릎, 발목, 종아리; 스틱, 오이
    """,
        ),
    ),
    slots={
        "week": range(1, 15),
        "km": range(2, 22),
        "kilo": range(1, 9),
        "rep": range(10, 120, 5),
        "cheat": words("치킨 라면 떡볶이 곱창 도넛 삼겹살 케이크"),
        "coach": words("쌤 코치님 관장님 선배"),
    },
    parts=(
        one("{greet}"),
        one("""
            {A} 나 {sport} 시작함|{B} {~wow} 작심삼일 아니고? {~lol}
            {A} {sport} {week}주 차 생존 신고|{B} {~wow} 대단해 {~face}
            {B} 같이 {sport} 다닐래?|{A} {~ok} 혼자는 {~so} 가기 싫어
        """),
        some(
            4,
            6,
            """
            {A} {pain} {~so} 아파 {~cry}|{B} 근육 생기는 소리다 {~lol}
            {B} {coach:이/가} 뭐래|{A} {rep}개만 더 하래 {~cry}
            {A} {gear} 샀다 {~face}|{B} {sport:은/는} 장비빨이지 {~lol}
            {A} {kilo}킬로 빠짐!!|{B} {~wow} 축하 {~face}
            {B} 끝나고 {cheat} 콜?|{A} 그럼 왜 운동함 {~lol}
            {A} 계단을 못 내려가겠음|{B} {pain2} 나갔네 {~lol}
            {B} 나는 어제 {km}킬로 걸음|{A} {~wow} {sport} 안 해도 되겠다
            {A} {gear2:을/를} 두고 와서 빌림 {~cry}|{B} {nick3} 거 빌렸지? {~lol}
            {B} {nick3:이는/는} {week}주 만에 그만뒀대|{A} 우린 버티자 {~face}
        """,
        ),
        one("""
            {A} 내일 {hour}시 {sport} 빠지면 벌금|{B} {~ok} {~cry}
            {A} 오늘은 {cheat} 참았다|{B} {~wow} 인간 승리 {~lol}
            {B} {day}에 또 보자|{A} {pain:이/가} 허락하면 {~lol}
        """),
        maybe("{goodbye}"),
    ),
)

SOCIAL_KINDS = (
    SOCIAL_MEET,
    SOCIAL_EXAM,
    SOCIAL_FOOD,
    SOCIAL_GAME,
    SOCIAL_PET,
    SOCIAL_SHOW,
    SOCIAL_WORK,
    SOCIAL_GIFT,
    SOCIAL_POST,
    SOCIAL_LOST,
    SOCIAL_FIT,
)

GRAMMAR = Grammar(SOCIAL_SLOTS, SOCIAL_KINDS)
